/** The people of the bench, by number. */
export const passwordOf = (index: number): string => `secret-${index}`;
export const userOf = (index: number): string => `user${index}`;
