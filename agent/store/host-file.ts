/** Reads a host file, piece by piece where it is written plainly, so that 10,000 users are not parsed anew for one that changed. */
import { isAlias, isCollection, isScalar, visit } from "yaml";
import type { Notice } from "../errors.ts";
import { type HostFileParts, hostFileParts, type ItemText, type SectionName } from "./host-file-parts.ts";
import { type HostFile, type HostFileUser, plainRole, plainTeam, plainUser, readHostFile } from "./host-file-text.ts";
import { type Role, StoreError, type Team } from "./host-store.ts";
import { plainItem } from "./plain-item.ts";

/** What one section or one item of a list says; lines count from the section's own line, or from the line above the item. */
export interface Piece {
  readonly settings: ReadonlyMap<string, string>;
  readonly roles: readonly Role[];
  readonly users: readonly HostFileUser[];
  readonly teams: readonly Team[];
  readonly warnings: readonly Notice[];
}

/** What was read of one host file, by its text, for the next read of nearly the same. */
export interface HostFileMemo {
  /** The piece of that text; made if it is new. Undefined: it cannot stand alone. */
  piece(text: string, make: (text: string) => Piece | undefined): Piece | undefined;
  /** The file of that text; read if it is not the one that was read last. */
  file(content: string, read: () => PiecedHostFile | undefined): PiecedHostFile | undefined;
}

/** A host file read by pieces: `pieces` in the order of the items, one for a section that is no list. */
export interface PiecedHostFile {
  readonly host: HostFile;
  readonly parts: HostFileParts;
  readonly pieces: ReadonlyMap<SectionName, readonly Piece[]>;
}

/** Reads a host file. Throws `StoreError` with line, column and rule: all of it, or nothing. */
export function parseHostFile(content: string, file: string, memo: HostFileMemo = hostFileMemo()): HostFile {
  return readByPieces(content, file, memo)?.host ?? readHostFile(content, file).host;
}

export function hostFileMemo(): HostFileMemo {
  let young = new Map<string, { own: string; piece: Piece | undefined }>();
  let old = young;
  let last: { content: string; found: PiecedHostFile | undefined } | undefined;
  return {
    piece(text, make) {
      let entry = young.get(text) ?? old.get(text);
      if (!entry) {
        // A copy: a slice would keep the whole file it was cut from.
        const own = Buffer.from(text).toString();
        entry = { own, piece: make(own) };
      }
      young.set(entry.own, entry);
      return entry.piece;
    },
    file(content, read) {
      if (last?.content === content) return last.found;
      last = { content, found: read() };
      if (!last.found) return undefined;
      const pieces = [...last.found.pieces.values()].reduce((sum, one) => sum + one.length, 0);
      // What was not among them lately is forgotten.
      if (young.size > 2 * pieces + 100) {
        old = young;
        young = new Map();
      }
      return last.found;
    },
  };
}

/** The same result as `readHostFile`; undefined where only that can tell: a file not written plainly, or one with an error. */
export function readByPieces(content: string, file: string, memo: HostFileMemo): PiecedHostFile | undefined {
  return memo.file(content, () => read(content, file, memo));
}

function read(content: string, file: string, memo: HostFileMemo): PiecedHostFile | undefined {
  const parts = hostFileParts(content);
  if (!parts) return undefined;
  const pieces = new Map<SectionName, Piece[]>();
  let settings: ReadonlyMap<string, string> = new Map();
  const roles: Role[] = [];
  const users: HostFileUser[] = [];
  const teams: Team[] = [];
  const warnings: Notice[] = [];
  for (const name of ["settings", "roles", "users", "teams"] as const) {
    const section = parts.sections.get(name);
    if (!section) continue;
    const own: Piece[] = [];
    const single = section.items.length === 0;
    for (const item of single ? [section] : section.items) {
      const text = content.slice(item.start, item.end);
      const piece = single
        ? pieceOf(text, file, memo)
        : itemPiece(name, text, { ...item, indent: section.indent }, file, memo);
      if (!piece) return undefined;
      const shift = single ? item.line - 1 : item.line - 2;
      own.push(piece);
      if (name === "settings") settings = piece.settings;
      roles.push(...piece.roles);
      teams.push(...piece.teams);
      for (const user of piece.users) users.push({ ...user, line: user.line + shift });
      for (const warning of piece.warnings) warnings.push(shifted(warning, file, shift));
    }
    pieces.set(name, own);
  }
  if (twice(roles) || twice(users) || twice(teams.map(({ id }) => ({ name: id })))) return undefined;
  return { host: { settings, roles, users, teams, warnings }, parts, pieces };
}

/** The piece of one item of a list, told by its text with its indentation. */
export function itemPiece(
  name: SectionName,
  text: string,
  { start, contentEnd, indent }: Pick<ItemText, "start" | "contentEnd"> & { indent: number },
  file: string,
  memo: HostFileMemo,
): Piece | undefined {
  return memo.piece(`${name}:\n${text}`, (own) => {
    const data = plainItem(own.slice(name.length + 2, name.length + 2 + contentEnd - start), indent);
    return (data && plainPiece(name, data)) ?? standingAlone(own, file);
  });
}

/** The piece of a whole section. */
export function pieceOf(text: string, file: string, memo: HostFileMemo): Piece | undefined {
  return memo.piece(text, (own) => standingAlone(own, file));
}

function plainPiece(name: SectionName, data: NonNullable<ReturnType<typeof plainItem>>): Piece | undefined {
  const { parameters } = data;
  const keyed = typeof parameters === "object" && !Array.isArray(parameters);
  const whole = keyed
    ? Object.assign(Object.create(null), data, { parameters: new Map(Object.entries(parameters)) })
    : data;
  const role = name === "roles" ? plainRole(whole) : undefined;
  const user = name === "users" ? plainUser(data, 2) : undefined;
  const team = name === "teams" ? plainTeam(data) : undefined;
  if (!role && !user && !team) return undefined;
  return {
    settings: new Map(),
    roles: role ? [role] : [],
    users: user ? [user] : [],
    teams: team ? [team] : [],
    warnings: [],
  };
}

function standingAlone(text: string, file: string): Piece | undefined {
  try {
    const { host, document } = readHostFile(text, file);
    let tied = false;
    // What an anchor names may stand in another piece.
    visit(document, (_key, node) => {
      tied ||= isAlias(node) || ((isScalar(node) || isCollection(node)) && node.anchor !== undefined);
    });
    return tied ? undefined : host;
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}

function shifted(warning: Notice, file: string, by: number): Notice {
  const line = Number(warning.where?.slice(file.length + 1));
  return { ...warning, where: `${file}:${line + by}` };
}

function twice(items: readonly { readonly name: string }[]): boolean {
  return new Set(items.map((item) => item.name)).size < items.length;
}
