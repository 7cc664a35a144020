-- The table of mcpauth's postgres store, for databases whose users may not make tables. Run it as the owner of the database, then grant the
-- rights to the users of the fleet:
--
--   psql "$OWNER_URL" -f fleet.sql -c 'GRANT SELECT, INSERT, UPDATE, DELETE ON mcpauth_credentials TO fleet'

CREATE TABLE IF NOT EXISTS mcpauth_credentials (
    name         text PRIMARY KEY,            -- derived from the key
    key          text NOT NULL,               -- server and profile, as JSON
    generation   bigint NOT NULL DEFAULT 0,   -- counts the writes; 0: nothing stored yet
    format       integer NOT NULL DEFAULT 1,  -- of the row
    sealed       bytea,                       -- the record, encrypted with age and authenticated by the client
    public       json,                        -- what "mcpauth status" shows, authenticated with the record
    notes        jsonb NOT NULL DEFAULT '{}', -- intent and journal of renewals, sealed like the record
    claim        text,                        -- names the renewal under way
    claimed_by   text,                        -- machine and process that renews
    claimed_at   timestamptz,
    updated      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
