-- Vectors of pictures, and what follows from comparing them. Outside the log, as predictions are: no decisions.

-- identity: what makes the vectors. centre: the f32 that a vector of zeros stands for; scale: by how much they were multiplied.
CREATE TABLE encoders (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, centre BLOB NOT NULL, scale REAL NOT NULL);
CREATE TABLE vectors (
    encoder INTEGER NOT NULL REFERENCES encoders (id),
    seq INTEGER NOT NULL REFERENCES samples (seq),
    vector BLOB NOT NULL,
    PRIMARY KEY (encoder, seq)
) WITHOUT ROWID;
-- One grouping at a time. cluster: from 0, the largest first. outlier: in millionths. duplicate_of: seq of the first like it.
CREATE TABLE likeness (seq INTEGER PRIMARY KEY REFERENCES samples (seq), cluster INTEGER NOT NULL, outlier INTEGER NOT NULL, duplicate_of INTEGER);
-- A sample that gets another picture looks like nothing yet.
CREATE TRIGGER vectors_follow_pictures AFTER UPDATE OF query_folder, query_path ON samples
WHEN NEW.query_folder <> OLD.query_folder OR NEW.query_path <> OLD.query_path
BEGIN
    DELETE FROM vectors WHERE seq = NEW.seq;
    DELETE FROM likeness WHERE seq = NEW.seq;
END;
