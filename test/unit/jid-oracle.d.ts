declare module "tr46" {
  /** Gives null for a name that is not valid. */
  export function toASCII(
    name: string,
    options: {
      checkBidi: boolean;
      checkHyphens: boolean;
      checkJoiners: boolean;
      useSTD3ASCIIRules: boolean;
      verifyDNSLength: boolean;
    },
  ): string | null;
}
