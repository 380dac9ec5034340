import { read, write } from "../../storage/statement.ts";

/**
 * Nodes by owner: an account's id, or the negative id of the served domain for its service. `who` is a bare address:
 * `#7` for an account here, so that it follows a rename and is nobody else's afterwards, any other as names.relative
 * has it. Item ids that are addresses are stored relative.
 */
export const pubsubMigration = {
  name: "0050_pubsub",
  sql: `
    CREATE TABLE pubsub_node (
      id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, name TEXT NOT NULL, creator TEXT NOT NULL, created INTEGER NOT NULL,
      config TEXT NOT NULL, expire INTEGER, UNIQUE (owner, name)
    );
    CREATE INDEX pubsub_node_expire ON pubsub_node (expire) WHERE expire IS NOT NULL;
    CREATE TABLE pubsub_item (
      seq INTEGER PRIMARY KEY, node INTEGER NOT NULL REFERENCES pubsub_node(id) ON DELETE CASCADE, id TEXT NOT NULL,
      publisher TEXT NOT NULL, published INTEGER NOT NULL, epoch INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (node, id)
    );
    CREATE INDEX pubsub_item_order ON pubsub_item (node, seq);
    CREATE TABLE pubsub_affiliation (
      node INTEGER NOT NULL REFERENCES pubsub_node(id) ON DELETE CASCADE, who TEXT NOT NULL, affiliation TEXT NOT NULL,
      PRIMARY KEY (node, who)
    ) WITHOUT ROWID;
    CREATE INDEX pubsub_affiliation_who ON pubsub_affiliation (who, node);
    CREATE TABLE pubsub_subscription (
      node INTEGER NOT NULL REFERENCES pubsub_node(id) ON DELETE CASCADE, subid TEXT NOT NULL, who TEXT NOT NULL,
      resource TEXT NOT NULL, state TEXT NOT NULL, deliver INTEGER NOT NULL, expires INTEGER, PRIMARY KEY (node, subid)
    ) WITHOUT ROWID;
    CREATE INDEX pubsub_subscription_who ON pubsub_subscription (who, node);
    CREATE INDEX pubsub_subscription_expires ON pubsub_subscription (expires) WHERE expires IS NOT NULL;`,
};

/** Ids that were taken from a person's node lately, for devices that the server's end kept from hearing of it. */
export const retractedMigration = {
  name: "0051_pubsub-retracted",
  sql: `
    CREATE TABLE pubsub_retracted (
      node INTEGER NOT NULL REFERENCES pubsub_node(id) ON DELETE CASCADE, id TEXT NOT NULL, seq INTEGER NOT NULL,
      PRIMARY KEY (node, id)
    ) WITHOUT ROWID;`,
};
/** What a node's items weigh, kept by the database itself whatever changes them. */
export const bytesMigration = {
  name: "0052_pubsub-bytes",
  sql: `
    ALTER TABLE pubsub_node ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE pubsub_node SET bytes = (SELECT coalesce(sum(length(payload)), 0) FROM pubsub_item i WHERE i.node = pubsub_node.id);
    CREATE TRIGGER pubsub_item_added AFTER INSERT ON pubsub_item BEGIN
      UPDATE pubsub_node SET bytes = bytes + length(new.payload) WHERE id = new.node;
    END;
    CREATE TRIGGER pubsub_item_changed AFTER UPDATE OF payload ON pubsub_item BEGIN
      UPDATE pubsub_node SET bytes = bytes + length(new.payload) - length(old.payload) WHERE id = new.node;
    END;
    CREATE TRIGGER pubsub_item_gone AFTER DELETE ON pubsub_item BEGIN
      UPDATE pubsub_node SET bytes = bytes - length(old.payload) WHERE id = old.node;
    END;`,
};
export const bytesOf = read<[owner: number], { bytes: number | null }>(
  "SELECT sum(bytes) AS bytes FROM pubsub_node WHERE owner = ?",
);
export const putRetracted = write<[node: number, id: string, seq: number]>(
  "INSERT OR REPLACE INTO pubsub_retracted (node, id, seq) VALUES (?, ?, ?)",
);
export const putPurged = write<[seq: number, node: number]>(
  "INSERT OR REPLACE INTO pubsub_retracted (node, id, seq) SELECT node, id, ? FROM pubsub_item WHERE node = ?",
);
export const dropRetracted = write<[node: number, id: string]>(
  "DELETE FROM pubsub_retracted WHERE node = ? AND id = ?",
);
/** Keeps the latest ones. */
export const trimRetracted = write<[node: number, node2: number, keep: number]>(
  `DELETE FROM pubsub_retracted WHERE node = ? AND seq <
     (SELECT seq FROM pubsub_retracted WHERE node = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
);
export const retractedOf = read<[node: number], { id: string }>(
  "SELECT id FROM pubsub_retracted WHERE node = ? ORDER BY seq DESC LIMIT 200",
);

export interface NodeRow {
  readonly id: number;
  readonly owner: number;
  readonly name: string;
  readonly creator: string;
  readonly created: number;
  readonly config: string;
}
export interface ItemRow {
  readonly seq: number;
  readonly node: number;
  readonly id: string;
  readonly publisher: string;
  readonly published: number;
  readonly epoch: number;
  readonly payload: Uint8Array;
}
export interface AffiliationRow {
  readonly node: number;
  readonly who: string;
  readonly affiliation: string;
}
export interface SubscriptionRow {
  readonly node: number;
  readonly subid: string;
  readonly who: string;
  readonly resource: string;
  readonly state: string;
  readonly deliver: number;
  readonly expires: number | null;
}

export const highestNumbers = read<[], { node: number | null; seq: number | null }>(
  "SELECT (SELECT max(id) FROM pubsub_node) AS node, (SELECT max(seq) FROM pubsub_item) AS seq",
);

// ---------------------------------------------------------------- nodes

export const nodeNamed = read<[owner: number, name: string], NodeRow>(
  "SELECT * FROM pubsub_node WHERE owner = ? AND name = ?",
);
export const affiliationsOfNode = read<[owner: number, name: string], AffiliationRow>(
  "SELECT a.* FROM pubsub_affiliation a JOIN pubsub_node n ON n.id = a.node WHERE n.owner = ? AND n.name = ?",
);
export const subscriptionsOfNode = read<[owner: number, name: string], SubscriptionRow>(
  "SELECT s.* FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node WHERE n.owner = ? AND n.name = ? ORDER BY s.subid",
);
export const countNodes = read<[owner: number], { number: number }>(
  "SELECT count(*) AS number FROM pubsub_node WHERE owner = ?",
);
/** A page of names behind (or before) one, in their order. */
export const namesAfter = read<[owner: number, after: string, limit: number], { name: string }>(
  "SELECT name FROM pubsub_node WHERE owner = ? AND name > ? ORDER BY name LIMIT ?",
);
export const namesBefore = read<[owner: number, before: string, limit: number], { name: string }>(
  "SELECT name FROM pubsub_node WHERE owner = ? AND name < ? ORDER BY name DESC LIMIT ?",
);
export const lastNames = read<[owner: number, limit: number], { name: string }>(
  "SELECT name FROM pubsub_node WHERE owner = ? ORDER BY name DESC LIMIT ?",
);
/** Which of these owners have which of these nodes; lists as JSON. */
export const existingNodes = read<[owners: string, names: string], { owner: number; name: string }>(
  `SELECT owner, name FROM pubsub_node
     WHERE owner IN (SELECT value FROM json_each(?)) AND name IN (SELECT value FROM json_each(?))`,
);
export const nodesOf = read<[owners: string, limit: number], { owner: number; name: string }>(
  "SELECT owner, name FROM pubsub_node WHERE owner IN (SELECT value FROM json_each(?)) LIMIT ?",
);
export const putNode = write<
  [id: number, owner: number, name: string, creator: string, created: number, config: string, expire: number | null]
>("INSERT INTO pubsub_node (id, owner, name, creator, created, config, expire) VALUES (?, ?, ?, ?, ?, ?, ?)");
export const putConfig = write<[config: string, expire: number | null, node: number]>(
  "UPDATE pubsub_node SET config = ?, expire = ? WHERE id = ?",
);
export const dropNode = write<[node: number]>("DELETE FROM pubsub_node WHERE id = ?");
export const dropNodesOf = write<[owner: number]>("DELETE FROM pubsub_node WHERE owner = ?");

// ---------------------------------------------------------------- items

export const putItem = write<
  [seq: number, node: number, id: string, publisher: string, published: number, epoch: number, payload: Buffer]
>(
  `INSERT INTO pubsub_item (seq, node, id, publisher, published, epoch, payload) VALUES (?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (node, id) DO UPDATE SET seq = excluded.seq, publisher = excluded.publisher,
     published = excluded.published, epoch = excluded.epoch, payload = excluded.payload`,
);
export const dropItem = write<[node: number, id: string]>("DELETE FROM pubsub_item WHERE node = ? AND id = ?");
export const dropItems = write<[node: number]>("DELETE FROM pubsub_item WHERE node = ?");
/** Keeps the newest ones. */
export const trimItems = write<[node: number, node2: number, keep: number]>(
  `DELETE FROM pubsub_item WHERE node = ? AND seq <=
     (SELECT seq FROM pubsub_item WHERE node = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
);
/** Items whose time is over, on whatever nodes. */
export const sweepItems = write<[now: number, rows: number]>(
  `DELETE FROM pubsub_item WHERE seq IN (SELECT i.seq FROM pubsub_node n JOIN pubsub_item i ON i.node = n.id
     WHERE n.expire IS NOT NULL AND i.published < ? - n.expire * 1000 LIMIT ?)`,
);
export const trimOld = write<[node: number, before: number]>(
  "DELETE FROM pubsub_item WHERE node = ? AND published < ?",
);

export const itemsNamed = read<[node: number, ids: string, since: number], ItemRow>(
  `SELECT * FROM pubsub_item WHERE node = ? AND id IN (SELECT value FROM json_each(?)) AND published >= ? ORDER BY seq`,
);
type PageParams = [node: number, low: number, high: number, since: number, limit: number];
export const itemsUp = read<PageParams, ItemRow>(
  "SELECT * FROM pubsub_item WHERE node = ? AND seq > ? AND seq < ? AND published >= ? ORDER BY seq LIMIT ?",
);
export const itemsDown = read<PageParams, ItemRow>(
  "SELECT * FROM pubsub_item WHERE node = ? AND seq > ? AND seq < ? AND published >= ? ORDER BY seq DESC LIMIT ?",
);
/** As `itemsUp`, with the size of the payload in its place. */
export const idsUp = read<PageParams, { seq: number; id: string; bytes: number }>(
  "SELECT seq, id, length(payload) AS bytes FROM pubsub_item WHERE node = ? AND seq > ? AND seq < ? AND published >= ? ORDER BY seq LIMIT ?",
);
export const idsDown = read<PageParams, { seq: number; id: string; bytes: number }>(
  "SELECT seq, id, length(payload) AS bytes FROM pubsub_item WHERE node = ? AND seq > ? AND seq < ? AND published >= ? ORDER BY seq DESC LIMIT ?",
);
export const countItems = read<[node: number, low: number, high: number, since: number], { number: number }>(
  "SELECT count(*) AS number FROM pubsub_item WHERE node = ? AND seq > ? AND seq < ? AND published >= ?",
);
export const seqAt = read<[node: number, since: number, skip: number], { seq: number }>(
  "SELECT seq FROM pubsub_item WHERE node = ? AND published >= ? ORDER BY seq LIMIT 1 OFFSET ?",
);
export const seqAtDown = read<[node: number, since: number, skip: number], { seq: number }>(
  "SELECT seq FROM pubsub_item WHERE node = ? AND published >= ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
);

// ---------------------------------------------------------------- affiliations and subscriptions

export const putAffiliation = write<[node: number, who: string, affiliation: string]>(
  "INSERT OR REPLACE INTO pubsub_affiliation (node, who, affiliation) VALUES (?, ?, ?)",
);
export const dropAffiliation = write<[node: number, who: string]>(
  "DELETE FROM pubsub_affiliation WHERE node = ? AND who = ?",
);
export const putSubscription = write<
  [node: number, subid: string, who: string, resource: string, state: string, deliver: number, expires: number | null]
>(
  `INSERT OR REPLACE INTO pubsub_subscription (node, subid, who, resource, state, deliver, expires)
   VALUES (?, ?, ?, ?, ?, ?, ?)`,
);
export const dropSubscription = write<[node: number, subid: string]>(
  "DELETE FROM pubsub_subscription WHERE node = ? AND subid = ?",
);
export const dropAffiliationsFor = write<[who: string]>("DELETE FROM pubsub_affiliation WHERE who = ?");
export const dropSubscriptionsFor = write<[who: string]>("DELETE FROM pubsub_subscription WHERE who = ?");

/** Everything one entity has with the nodes of one owner. */
export const affiliationsFor = read<
  [who: string, owner: number, limit: number],
  AffiliationRow & { readonly name: string }
>(
  `SELECT a.*, n.name FROM pubsub_affiliation a JOIN pubsub_node n ON n.id = a.node
     WHERE a.who = ? AND n.owner = ? ORDER BY n.name LIMIT ?`,
);
export const subscriptionsFor = read<
  [who: string, owner: number, limit: number],
  SubscriptionRow & { readonly name: string }
>(
  `SELECT s.*, n.name FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node
     WHERE s.who = ? AND n.owner = ? ORDER BY n.name, s.subid LIMIT ?`,
);
export const endedSubscriptions = read<[now: number], { owner: number; name: string; subid: string }>(
  `SELECT n.owner, n.name, s.subid FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node
     WHERE s.expires IS NOT NULL AND s.expires <= ? LIMIT 1000`,
);
/** Nodes with requests that wait for an owner. */
export const nodesWithPending = read<[owner: number], { name: string }>(
  `SELECT DISTINCT n.name FROM pubsub_node n JOIN pubsub_subscription s ON s.node = n.id
     WHERE n.owner = ? AND s.state = 'pending' ORDER BY n.name`,
);
