-- How sure each source turned out to be: a temperature by field, fitted on reviewed samples. What is stored of predictions
-- stays as it was said; temperatures are applied when it is read. samples: how many it was fitted on.
CREATE TABLE temperatures (
    source INTEGER NOT NULL REFERENCES prediction_sources (id),
    field TEXT NOT NULL,
    temperature REAL NOT NULL,
    samples INTEGER NOT NULL,
    PRIMARY KEY (source, field)
) WITHOUT ROWID;
