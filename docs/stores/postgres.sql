-- Tables for the host's XMPP settings, roles, users and teams in PostgreSQL 12 or newer, with triggers that notify, and a
-- role that may read them. Run it in the host's database as the owner of the tables; a second run changes nothing:
--   psql -v ON_ERROR_STOP=1 -d pbx -f postgres.sql
-- docs/stores/postgres.md says what each column means.

BEGIN;

CREATE TABLE IF NOT EXISTS xmpp_setting (
  name  text PRIMARY KEY CHECK (name <> ''),
  value text NOT NULL
);

CREATE TABLE IF NOT EXISTS xmpp_user (
  name          text PRIMARY KEY CHECK (name <> ''),
  -- The host's stable key of the person: with it a changed name is a rename, and a reused name inherits nothing.
  id            text UNIQUE CHECK (id <> ''),
  display_name  text,
  email         text,
  enabled       boolean NOT NULL DEFAULT true,
  -- One of: a chat password in clear, a hash ($2b$…, $6$…), SCRAM keys; or nothing, and the user cannot log in.
  password      text,
  password_hash text,
  scram_sha1    text,
  scram_sha256  text,
  scram_sha512  text,
  password_from text CHECK (password_from IN ('store', 'ldap', 'sql', 'http')),
  aliases       text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE IF NOT EXISTS xmpp_team (
  id        text PRIMARY KEY CHECK (id <> ''),
  name      text NOT NULL CHECK (name <> ''),
  extension text,
  kind      text NOT NULL DEFAULT 'queue' CHECK (kind IN ('queue', 'callgroup'))
);

CREATE TABLE IF NOT EXISTS xmpp_team_member (
  team_id   text NOT NULL REFERENCES xmpp_team ON UPDATE CASCADE ON DELETE CASCADE,
  user_name text NOT NULL REFERENCES xmpp_user ON UPDATE CASCADE ON DELETE CASCADE,
  dynamic   boolean NOT NULL DEFAULT false,
  PRIMARY KEY (team_id, user_name)
);

CREATE TABLE IF NOT EXISTS xmpp_role (
  name text PRIMARY KEY CHECK (name <> '')
);

CREATE TABLE IF NOT EXISTS xmpp_role_type (
  role text NOT NULL REFERENCES xmpp_role ON UPDATE CASCADE ON DELETE CASCADE,
  type text NOT NULL CHECK (type <> ''),
  PRIMARY KEY (role, type)
);

CREATE TABLE IF NOT EXISTS xmpp_role_parameter (
  role  text NOT NULL REFERENCES xmpp_role ON UPDATE CASCADE ON DELETE CASCADE,
  name  text NOT NULL CHECK (name <> ''),
  value text NOT NULL,
  PRIMARY KEY (role, name)
);

-- A user, a team, or everybody (kind 'all', without either).
CREATE TABLE IF NOT EXISTS xmpp_role_member (
  role      text NOT NULL REFERENCES xmpp_role ON UPDATE CASCADE ON DELETE CASCADE,
  kind      text NOT NULL DEFAULT 'user' CHECK (kind IN ('user', 'team', 'all')),
  user_name text REFERENCES xmpp_user ON UPDATE CASCADE ON DELETE CASCADE,
  team_id   text REFERENCES xmpp_team ON UPDATE CASCADE ON DELETE CASCADE,
  CHECK ((kind = 'user') = (user_name IS NOT NULL) AND (kind = 'team') = (team_id IS NOT NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS xmpp_role_member_user ON xmpp_role_member (role, user_name) WHERE kind = 'user';
CREATE UNIQUE INDEX IF NOT EXISTS xmpp_role_member_team ON xmpp_role_member (role, team_id) WHERE kind = 'team';
CREATE UNIQUE INDEX IF NOT EXISTS xmpp_role_member_all ON xmpp_role_member (role) WHERE kind = 'all';
CREATE INDEX IF NOT EXISTS xmpp_role_member_of_user ON xmpp_role_member (user_name);
CREATE INDEX IF NOT EXISTS xmpp_role_member_of_team ON xmpp_role_member (team_id);
CREATE INDEX IF NOT EXISTS xmpp_team_member_of_user ON xmpp_team_member (user_name);

-- The sum over all rows grows with every change that becomes visible. A session counts in one of 64 rows, so that two
-- writers seldom wait for each other until the first one commits.
CREATE TABLE IF NOT EXISTS xmpp_change (
  writer   integer PRIMARY KEY,
  revision bigint NOT NULL
);
INSERT INTO xmpp_change SELECT n, 0 FROM generate_series(0, 63) AS n ON CONFLICT DO NOTHING;

-- With the rights of its owner, so that whoever may write a table needs no right to the counter.
CREATE OR REPLACE FUNCTION xmpp_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO xmpp_change AS counted VALUES (pg_backend_pid() % 64, 1)
    ON CONFLICT (writer) DO UPDATE SET revision = counted.revision + 1;
  -- Sent at the commit; the same notification twice in one transaction is one.
  PERFORM pg_notify('xmpp_change', '');
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION xmpp_changed() FROM PUBLIC;

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['xmpp_setting', 'xmpp_user', 'xmpp_team', 'xmpp_team_member', 'xmpp_role', 'xmpp_role_type',
                              'xmpp_role_parameter', 'xmpp_role_member'] LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS xmpp_changed ON %I', name);
    EXECUTE format('CREATE TRIGGER xmpp_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION xmpp_changed()', name);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'firekeeper') THEN
    CREATE ROLE firekeeper LOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO firekeeper', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO firekeeper', current_schema());
  -- Where the host's tables stand, if they are not in "public".
  EXECUTE format('ALTER ROLE firekeeper IN DATABASE %I SET search_path = %I', current_database(), current_schema());
END $$;

GRANT SELECT ON xmpp_setting, xmpp_user, xmpp_team, xmpp_team_member, xmpp_role, xmpp_role_type, xmpp_role_parameter,
  xmpp_role_member, xmpp_change TO firekeeper;

COMMIT;
