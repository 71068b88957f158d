"""The index's tables. A change here needs no migration: another number in `VERSION`, and the index is made anew."""

from __future__ import annotations

VERSION = 2

TABLES = """
CREATE TABLE positions (stream TEXT PRIMARY KEY, seq INTEGER, digest TEXT, epoch INTEGER, final INTEGER, objects TEXT)
    WITHOUT ROWID;
CREATE TABLE runs (run TEXT PRIMARY KEY, pipeline TEXT, status TEXT, started TEXT, finished TEXT, seconds REAL,
    exit_code INTEGER, actor TEXT, facts TEXT) WITHOUT ROWID;
CREATE TABLE steps (run TEXT, step TEXT, status TEXT, attempt INTEGER, node TEXT, seconds REAL, fingerprint TEXT,
    from_run TEXT, outputs TEXT, failure TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE metrics (run TEXT, step TEXT, name TEXT, value REAL, PRIMARY KEY (run, step, name)) WITHOUT ROWID;
CREATE INDEX metrics_by_value ON metrics (name, value);
CREATE TABLE models (model TEXT PRIMARY KEY, latest INTEGER, time TEXT) WITHOUT ROWID;
CREATE TABLE versions (model TEXT, version INTEGER, bundle TEXT, run TEXT, time TEXT, actor TEXT, approved_by TEXT,
    facts TEXT, PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE aliases (model TEXT, alias TEXT, version INTEGER, was INTEGER, time TEXT, actor TEXT,
    PRIMARY KEY (model, alias)) WITHOUT ROWID;
CREATE TABLE datasets (dataset TEXT, version INTEGER, digest TEXT, rows INTEGER, time TEXT, actor TEXT, facts TEXT,
    PRIMARY KEY (dataset, version)) WITHOUT ROWID;
CREATE TABLE endpoints (endpoint TEXT PRIMARY KEY, state TEXT, revision INTEGER, model TEXT, version INTEGER, url TEXT,
    reason TEXT, time TEXT) WITHOUT ROWID;
CREATE TABLE alerts (id TEXT PRIMARY KEY, "group" TEXT, severity TEXT, title TEXT, state TEXT, time TEXT, facts TEXT)
    WITHOUT ROWID;
CREATE TABLE windows (endpoint TEXT, monitor TEXT, start TEXT, "end" TEXT, rows INTEGER, alarm INTEGER, time TEXT,
    facts TEXT, PRIMARY KEY (endpoint, monitor, start, "end")) WITHOUT ROWID;
"""
