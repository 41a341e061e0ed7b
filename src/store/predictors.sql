-- Who predicts, and what others want predicted. Neither is part of the log.

-- One process at a time predicts with a model: until expires_ms, which it keeps moving on. model: the model's name, with its adapter.
-- machine: within which pids mean what they say.
CREATE TABLE predictors (
    model TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    host TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What a process asks of the one that predicts. problem: why it could not be done.
CREATE TABLE prediction_wishes (
    source INTEGER NOT NULL REFERENCES prediction_sources (id),
    seq INTEGER NOT NULL REFERENCES samples (seq),
    session TEXT NOT NULL,
    priority INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    problem TEXT,
    PRIMARY KEY (source, seq, session)
) WITHOUT ROWID;
CREATE INDEX prediction_wishes_by_session ON prediction_wishes (session);

-- Which checkpoint a name of a model or an adapter stands for. fingerprint: of what lies in its files. stamp: of their sizes and times.
CREATE TABLE checkpoints (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    stamp TEXT NOT NULL
) WITHOUT ROWID;
