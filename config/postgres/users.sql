-- The origin of the namespace `users`. `write_seq` is the number of the last write: an older one that comes late changes
-- nothing, and what is removed keeps its row, without a value, so that it is not brought back.
CREATE TABLE users (id text PRIMARY KEY, value jsonb, write_seq bigint NOT NULL DEFAULT 0);

INSERT INTO users (id, value)
SELECT n::text, jsonb_build_object('id', n, 'name', 'User ' || n) FROM generate_series(1, 100) AS n;
