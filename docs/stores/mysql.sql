-- Tables for the host's XMPP settings, roles, users and teams in MariaDB 10.5 or newer, with triggers that count changes, and
-- an account that may read them. Run it in the host's database as root; a second run changes nothing:
--   mariadb pbx < mysql.sql
-- docs/stores/mysql.md says what each column means, and what MySQL wants otherwise.

-- Names are compared byte for byte, as XMPP does once they are prepared: "Bob" and "bob" are told apart here and refused there.
CREATE TABLE IF NOT EXISTS xmpp_setting (
  name  VARCHAR(255) NOT NULL PRIMARY KEY CHECK (name <> ''),
  value TEXT NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_user (
  name          VARCHAR(255) NOT NULL PRIMARY KEY,
  -- The host's stable key of the person: with it a changed name is a rename, and a reused name inherits nothing.
  id            VARCHAR(255) UNIQUE,
  display_name  VARCHAR(255),
  email         VARCHAR(255),
  enabled       BOOLEAN NOT NULL DEFAULT TRUE,
  -- One of: a chat password in clear, a hash ($2b$…, $6$…), SCRAM keys; or nothing, and the user cannot log in.
  password      VARCHAR(255),
  password_hash VARCHAR(255),
  scram_sha1    VARCHAR(255),
  scram_sha256  VARCHAR(255),
  scram_sha512  VARCHAR(512),
  password_from ENUM ('store', 'ldap', 'sql', 'http'),
  -- Between spaces or commas, or a JSON list.
  aliases       TEXT
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_team (
  id        VARCHAR(255) NOT NULL PRIMARY KEY,
  name      VARCHAR(255) NOT NULL,
  extension VARCHAR(64),
  kind      ENUM ('queue', 'callgroup') NOT NULL DEFAULT 'queue'
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_team_member (
  team_id   VARCHAR(255) NOT NULL,
  user_name VARCHAR(255) NOT NULL,
  dynamic   BOOLEAN NOT NULL DEFAULT FALSE,
  PRIMARY KEY (team_id, user_name),
  FOREIGN KEY (team_id) REFERENCES xmpp_team (id) ON UPDATE CASCADE ON DELETE CASCADE,
  FOREIGN KEY (user_name) REFERENCES xmpp_user (name) ON UPDATE CASCADE ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_role (
  name VARCHAR(255) NOT NULL PRIMARY KEY
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_role_type (
  role VARCHAR(255) NOT NULL,
  type VARCHAR(255) NOT NULL,
  PRIMARY KEY (role, type),
  FOREIGN KEY (role) REFERENCES xmpp_role (name) ON UPDATE CASCADE ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS xmpp_role_parameter (
  role  VARCHAR(255) NOT NULL,
  name  VARCHAR(255) NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (role, name),
  FOREIGN KEY (role) REFERENCES xmpp_role (name) ON UPDATE CASCADE ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A user, a team, or everybody (kind 'all', without either).
CREATE TABLE IF NOT EXISTS xmpp_role_member (
  role      VARCHAR(255) NOT NULL,
  kind      ENUM ('user', 'team', 'all') NOT NULL DEFAULT 'user',
  user_name VARCHAR(255),
  team_id   VARCHAR(255),
  UNIQUE KEY (role, user_name),
  UNIQUE KEY (role, team_id),
  FOREIGN KEY (role) REFERENCES xmpp_role (name) ON UPDATE CASCADE ON DELETE CASCADE,
  FOREIGN KEY (user_name) REFERENCES xmpp_user (name) ON UPDATE CASCADE ON DELETE CASCADE,
  FOREIGN KEY (team_id) REFERENCES xmpp_team (id) ON UPDATE CASCADE ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The sum over all rows grows with every change that becomes visible. A session counts in one of 64 rows, so that two
-- writers seldom wait for each other until the first one commits.
CREATE TABLE IF NOT EXISTS xmpp_change (
  writer   INTEGER NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
) ENGINE = InnoDB;
INSERT IGNORE INTO xmpp_change (writer, revision) SELECT a.n * 8 + b.n, 0
  FROM (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) AS a,
       (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) AS b;

-- There are only triggers for each row here. They run with the rights of whoever ran this script, so that writers of the
-- tables need no right to the counter. A DELETE that cascades is counted where it began; TRUNCATE runs no trigger.
CREATE OR REPLACE TRIGGER xmpp_setting_insert AFTER INSERT ON xmpp_setting FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_setting_update AFTER UPDATE ON xmpp_setting FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_setting_delete AFTER DELETE ON xmpp_setting FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_user_insert AFTER INSERT ON xmpp_user FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_user_update AFTER UPDATE ON xmpp_user FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_user_delete AFTER DELETE ON xmpp_user FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_insert AFTER INSERT ON xmpp_team FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_update AFTER UPDATE ON xmpp_team FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_delete AFTER DELETE ON xmpp_team FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_member_insert AFTER INSERT ON xmpp_team_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_member_update AFTER UPDATE ON xmpp_team_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_team_member_delete AFTER DELETE ON xmpp_team_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_insert AFTER INSERT ON xmpp_role FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_update AFTER UPDATE ON xmpp_role FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_delete AFTER DELETE ON xmpp_role FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_type_insert AFTER INSERT ON xmpp_role_type FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_type_update AFTER UPDATE ON xmpp_role_type FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_type_delete AFTER DELETE ON xmpp_role_type FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_parameter_insert AFTER INSERT ON xmpp_role_parameter FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_parameter_update AFTER UPDATE ON xmpp_role_parameter FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_parameter_delete AFTER DELETE ON xmpp_role_parameter FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_member_insert AFTER INSERT ON xmpp_role_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_member_update AFTER UPDATE ON xmpp_role_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;
CREATE OR REPLACE TRIGGER xmpp_role_member_delete AFTER DELETE ON xmpp_role_member FOR EACH ROW
  INSERT INTO xmpp_change VALUES (CONNECTION_ID() % 64, 1) ON DUPLICATE KEY UPDATE revision = revision + 1;

-- By the socket, as the system user of the same name; docs/stores/mysql.md has it with a password, and for MySQL.
CREATE USER IF NOT EXISTS firekeeper@localhost IDENTIFIED VIA unix_socket;
GRANT SELECT ON xmpp_setting TO firekeeper@localhost;
GRANT SELECT ON xmpp_user TO firekeeper@localhost;
GRANT SELECT ON xmpp_team TO firekeeper@localhost;
GRANT SELECT ON xmpp_team_member TO firekeeper@localhost;
GRANT SELECT ON xmpp_role TO firekeeper@localhost;
GRANT SELECT ON xmpp_role_type TO firekeeper@localhost;
GRANT SELECT ON xmpp_role_parameter TO firekeeper@localhost;
GRANT SELECT ON xmpp_role_member TO firekeeper@localhost;
GRANT SELECT ON xmpp_change TO firekeeper@localhost;
