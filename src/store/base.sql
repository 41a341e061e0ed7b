-- Version 1. Never edited once released: a later version appends a step to migrate.rs.

CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Folders of images; 0 is the project itself, whose path is empty so that the project can be moved.
CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
INSERT INTO folders VALUES (0, '');

-- seq is the place in import order, from 0. label: JSON, field id -> canonical text. hash: of all columns but seq and id.
CREATE TABLE samples (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    image_type TEXT NOT NULL,
    query_folder INTEGER NOT NULL,
    query_path TEXT NOT NULL,
    reference_folder INTEGER,
    reference_path TEXT,
    grp TEXT NOT NULL,
    origin INTEGER NOT NULL,
    label TEXT NOT NULL,
    hash INTEGER NOT NULL
);
CREATE INDEX samples_by_group ON samples (grp);
-- Text in ids. Ids are only ever added, so the index needs no copy of them.
CREATE VIRTUAL TABLE sample_ids USING fts5 (id, content='', columnsize=0, detail=none, tokenize='trigram case_sensitive 1');

-- The log. id: UUID v7. parent: id of the operation before. samples: how many it touched.
CREATE TABLE operations (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    parent BLOB,
    reviewer TEXT NOT NULL,
    uid INTEGER NOT NULL,
    user TEXT NOT NULL,
    host TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    samples INTEGER NOT NULL,
    undoes INTEGER REFERENCES operations (seq),
    source TEXT NOT NULL
);
-- base: the revision that the edit was decided on. edit: JSON, NULL for undo, redo and import.
CREATE TABLE operation_samples (
    op INTEGER NOT NULL REFERENCES operations (seq),
    sample INTEGER NOT NULL REFERENCES samples (seq),
    base INTEGER NOT NULL,
    edit TEXT
);
CREATE INDEX operation_samples_by_sample ON operation_samples (sample, op);
CREATE INDEX operation_samples_by_op ON operation_samples (op);

CREATE TRIGGER operations_stay BEFORE UPDATE ON operations BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;
CREATE TRIGGER operations_remain BEFORE DELETE ON operations BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;
CREATE TRIGGER operation_samples_stay BEFORE UPDATE ON operation_samples BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;
CREATE TRIGGER operation_samples_remain BEFORE DELETE ON operation_samples BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;

-- Predictions stand outside the log. AUTOINCREMENT: an edit that names one never comes to mean another.
CREATE TABLE prediction_sources (id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE);
CREATE TABLE predictions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL REFERENCES samples (seq),
    source INTEGER NOT NULL REFERENCES prediction_sources (id),
    fields TEXT NOT NULL,
    UNIQUE (seq, source)
);

CREATE TABLE claims (sample INTEGER PRIMARY KEY REFERENCES samples (seq), reviewer TEXT NOT NULL, session TEXT NOT NULL, expires_ms INTEGER NOT NULL);
CREATE INDEX claims_by_session ON claims (session);
CREATE INDEX claims_by_expiry ON claims (expires_ms);

-- Derived: texts by number, for the narrow table `current`, which is made from the schema (layout.rs).
CREATE TABLE words (code INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
-- Derived: what each reviewer can undo (stack 0, operations) and redo (stack 1, undos). The top is the largest op.
CREATE TABLE history (reviewer TEXT NOT NULL, stack INTEGER NOT NULL, op INTEGER NOT NULL, PRIMARY KEY (reviewer, stack, op)) WITHOUT ROWID;
