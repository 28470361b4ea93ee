-- The device's durable record, schema 3; later tables are in the migrations of database.py. SQLite, WAL, synchronous=FULL, foreign_keys=ON.
-- Instants are ISO 8601 UTC text; sessions are YYYY-MM-DD text; money and quantities are decimal text, exactly as computed.
-- What happened is never rewritten: plans, events, fills, activities and halts refuse UPDATE or DELETE by trigger.

CREATE TABLE meta (                      -- one row a fact about the ledger itself: schema_version, created_at, account ...
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE job_runs (                  -- one row per (session, job): running, then exactly one terminal status
    session     TEXT NOT NULL,
    job         TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('running', 'done', 'skipped', 'halted', 'failed')),
    attempts    INTEGER NOT NULL DEFAULT 1,
    started_at  TEXT NOT NULL,           -- of the latest attempt
    finished_at TEXT,
    summary     TEXT NOT NULL DEFAULT '',
    figures     TEXT NOT NULL DEFAULT '{}',  -- JSON object
    PRIMARY KEY (session, job)
) STRICT;
CREATE TRIGGER job_runs_end_once BEFORE UPDATE ON job_runs WHEN OLD.status <> 'running'
BEGIN SELECT RAISE(ABORT, 'a job ends once'); END;

CREATE TABLE scores (                    -- a sleeve's output per symbol, as it left the scoring job
    asof   TEXT NOT NULL,
    sleeve TEXT NOT NULL,
    symbol TEXT NOT NULL,
    score  REAL NOT NULL,
    rank   INTEGER NOT NULL,             -- 1 = highest score
    z      REAL NOT NULL,                -- standardised over the cross-section
    source TEXT NOT NULL,                -- sha256 of the bundle that produced it
    probability REAL,                    -- of the event of the bundle's map, where it has one
    PRIMARY KEY (asof, sleeve, symbol)
) STRICT;

CREATE TABLE targets (                   -- what the book should hold at the open of the session
    session        TEXT NOT NULL,
    symbol         TEXT NOT NULL,
    weight         REAL NOT NULL,        -- signed fraction of equity
    current_weight REAL NOT NULL,
    z              REAL,                 -- of the score; null for a held name that was not scored
    sector         TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (session, symbol)
) STRICT;

CREATE TABLE plans (                     -- the frozen orders of one session: written once, loaded ever after
    session       TEXT PRIMARY KEY,
    asof          TEXT NOT NULL,
    account       TEXT NOT NULL,
    digest        TEXT NOT NULL,
    equity        TEXT NOT NULL,
    bundle_sha256 TEXT NOT NULL CHECK (bundle_sha256 <> ''),
    snapshot_id   TEXT NOT NULL CHECK (snapshot_id <> ''),
    config_hash   TEXT NOT NULL CHECK (config_hash <> ''),
    code_version  TEXT NOT NULL CHECK (code_version <> ''),
    rounding_l1   REAL NOT NULL,
    body          TEXT NOT NULL,         -- JSON: intents and refusals
    committed_at  TEXT NOT NULL
) STRICT;
CREATE TRIGGER plans_are_frozen BEFORE UPDATE ON plans BEGIN SELECT RAISE(ABORT, 'a plan is frozen'); END;
CREATE TRIGGER plans_are_kept BEFORE DELETE ON plans BEGIN SELECT RAISE(ABORT, 'a plan is kept'); END;

CREATE TABLE intents (                   -- one order that we mean to send; the state is the last event's
    client_order_id TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    session         TEXT NOT NULL REFERENCES plans (session),
    book            TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    slice           INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    side            TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity        TEXT NOT NULL,
    type            TEXT NOT NULL,
    tif             TEXT NOT NULL,
    reference_price TEXT NOT NULL,
    limit_price     TEXT,
    reduces         INTEGER NOT NULL CHECK (reduces IN (0, 1)),
    waits_for       TEXT REFERENCES intents (client_order_id) DEFERRABLE INITIALLY DEFERRED,
    state           TEXT NOT NULL,
    broker_order_id TEXT,
    posts           INTEGER NOT NULL DEFAULT 0 CHECK (posts BETWEEN 0 AND 2),  -- requests sent, counted before each
    filled_quantity TEXT NOT NULL DEFAULT '0',
    reason          TEXT NOT NULL DEFAULT '',
    refusal_status  INTEGER,             -- HTTP status and code of a definitive refusal
    refusal_code    INTEGER,
    updated_at      TEXT NOT NULL,
    UNIQUE (account, session, book, symbol, slice, attempt)
) STRICT;
CREATE INDEX intents_by_session ON intents (session, symbol);
CREATE INDEX intents_by_state ON intents (state);
CREATE TRIGGER intents_keep_their_body BEFORE UPDATE OF client_order_id, account, session, book, symbol, slice, attempt, side,
    quantity, type, tif, reference_price, limit_price, reduces, waits_for ON intents
BEGIN SELECT RAISE(ABORT, 'what an intent asks for is frozen'); END;
CREATE TRIGGER intents_are_kept BEFORE DELETE ON intents BEGIN SELECT RAISE(ABORT, 'an intent is kept'); END;

CREATE TABLE intent_events (             -- every transition, append only
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    client_order_id TEXT NOT NULL REFERENCES intents (client_order_id),
    at              TEXT NOT NULL,
    from_state      TEXT,                -- null for the first
    to_state        TEXT NOT NULL,
    reason          TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX intent_events_by_intent ON intent_events (client_order_id, id);
CREATE TRIGGER intent_events_are_frozen BEFORE UPDATE ON intent_events BEGIN SELECT RAISE(ABORT, 'an event is frozen'); END;
CREATE TRIGGER intent_events_are_kept BEFORE DELETE ON intent_events BEGIN SELECT RAISE(ABORT, 'an event is kept'); END;

CREATE TABLE broker_orders (             -- the broker's latest report of each order, ours and foreign
    id                   TEXT PRIMARY KEY,
    client_order_id      TEXT NOT NULL,
    symbol               TEXT NOT NULL,
    side                 TEXT NOT NULL,
    type                 TEXT NOT NULL,
    tif                  TEXT NOT NULL,
    status               TEXT NOT NULL,
    raw_status           TEXT NOT NULL,
    quantity             TEXT NOT NULL,
    filled_quantity      TEXT NOT NULL,
    filled_average_price TEXT,
    limit_price          TEXT,
    submitted_at         TEXT NOT NULL,
    updated_at           TEXT NOT NULL,
    is_foreign           INTEGER NOT NULL CHECK (is_foreign IN (0, 1)),  -- no intent of ours has its client order id
    seen_at              TEXT NOT NULL
) STRICT;
CREATE INDEX broker_orders_by_client_id ON broker_orders (client_order_id);

CREATE TABLE fills (                     -- executions, keyed by the broker's activity id: one never counts twice
    id              TEXT PRIMARY KEY,
    order_id        TEXT NOT NULL,
    client_order_id TEXT NOT NULL,       -- '' when the order is not ours
    session         TEXT NOT NULL,
    symbol          TEXT NOT NULL,
    side            TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity        TEXT NOT NULL,
    price           TEXT NOT NULL,
    at              TEXT NOT NULL
) STRICT;
CREATE INDEX fills_by_session ON fills (session, symbol);
CREATE INDEX fills_by_order ON fills (order_id);
CREATE TRIGGER fills_are_frozen BEFORE UPDATE ON fills BEGIN SELECT RAISE(ABORT, 'a fill is frozen'); END;
CREATE TRIGGER fills_are_kept BEFORE DELETE ON fills BEGIN SELECT RAISE(ABORT, 'a fill is kept'); END;

CREATE TABLE activities (                -- every account activity that is booked, fills included
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    symbol      TEXT NOT NULL,
    day         TEXT NOT NULL,
    at          TEXT,
    quantity    TEXT,
    price       TEXT,
    net_amount  TEXT NOT NULL,
    side        TEXT NOT NULL,
    order_id    TEXT NOT NULL,
    description TEXT NOT NULL,
    booked_at   TEXT NOT NULL
) STRICT;
CREATE INDEX activities_by_day ON activities (day);
CREATE TRIGGER activities_are_frozen BEFORE UPDATE ON activities BEGIN SELECT RAISE(ABORT, 'an activity is frozen'); END;
CREATE TRIGGER activities_are_kept BEFORE DELETE ON activities BEGIN SELECT RAISE(ABORT, 'an activity is kept'); END;

CREATE TABLE positions (                 -- holdings as agreed with the broker, per session and phase (open, confirm, close)
    session       TEXT NOT NULL,
    phase         TEXT NOT NULL,
    symbol        TEXT NOT NULL,
    quantity      TEXT NOT NULL,
    average_price TEXT NOT NULL,
    current_price TEXT,
    PRIMARY KEY (session, phase, symbol)
) STRICT;

CREATE TABLE accounts (                  -- the account as agreed with the broker; a row here is what the next reconcile starts from
    session      TEXT NOT NULL,
    phase        TEXT NOT NULL,
    account      TEXT NOT NULL,
    account_id   TEXT NOT NULL,
    status       TEXT NOT NULL,
    cash         TEXT NOT NULL,
    equity       TEXT NOT NULL,
    last_equity  TEXT NOT NULL,
    buying_power TEXT NOT NULL,
    multiplier   TEXT NOT NULL,
    at           TEXT NOT NULL,
    PRIMARY KEY (session, phase)
) STRICT;
CREATE INDEX accounts_by_time ON accounts (at);

CREATE TABLE tripwires (                 -- every check of the day with its value, tripped or not
    session     TEXT NOT NULL,
    name        TEXT NOT NULL,
    value       TEXT,                    -- null: the input was missing
    limit_value TEXT NOT NULL,
    action      TEXT NOT NULL,
    tripped     INTEGER NOT NULL CHECK (tripped IN (0, 1)),
    detail      TEXT NOT NULL DEFAULT '',
    at          TEXT NOT NULL,
    PRIMARY KEY (session, name)
) STRICT;

CREATE TABLE halts (                     -- every closing of the latch, and who opened it again
    id          TEXT PRIMARY KEY,
    at          TEXT NOT NULL,
    name        TEXT NOT NULL,
    measure     TEXT NOT NULL,
    value       TEXT NOT NULL,
    threshold   TEXT NOT NULL,
    plan_digest TEXT,
    action      TEXT NOT NULL,
    details     TEXT NOT NULL DEFAULT '{}',  -- JSON: inputs hash, positions, orders, cancel and notifier results
    rearmed_at  TEXT,
    rearmed_by  TEXT,
    reason      TEXT
) STRICT;
CREATE TRIGGER halts_are_kept BEFORE DELETE ON halts BEGIN SELECT RAISE(ABORT, 'a halt is kept'); END;
CREATE TRIGGER halts_rearm_once BEFORE UPDATE ON halts WHEN OLD.rearmed_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a halt is rearmed once'); END;

CREATE TABLE nav (                       -- net asset value at the close: as the paper account says, and as it would be outside it
    session   TEXT PRIMARY KEY,
    paper_nav TEXT NOT NULL,
    real_nav  TEXT NOT NULL,
    cash      TEXT NOT NULL,
    gross     TEXT NOT NULL,             -- USD, sum of absolute position values
    net       TEXT NOT NULL,             -- USD, sum of signed position values
    dividends TEXT NOT NULL DEFAULT '0', -- the day's parts of real - paper, USD
    borrow    TEXT NOT NULL DEFAULT '0',
    fees      TEXT NOT NULL DEFAULT '0',
    impact    TEXT NOT NULL DEFAULT '0',
    at        TEXT NOT NULL,
    late_dividends TEXT NOT NULL DEFAULT '0',  -- of this ex-date, learned after its report, USD
    restatement    TEXT NOT NULL DEFAULT '0'   -- what all that was learned since the report adds to real_nav, USD
) STRICT;

CREATE TABLE reports (
    session TEXT PRIMARY KEY,
    path    TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    at      TEXT NOT NULL
) STRICT;

CREATE TABLE alerts (                    -- what a person was told, and whether a channel took it
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        TEXT NOT NULL,
    severity  TEXT NOT NULL,
    key       TEXT NOT NULL,
    title     TEXT NOT NULL,
    body      TEXT NOT NULL,
    delivered INTEGER NOT NULL CHECK (delivered IN (0, 1))
) STRICT;
CREATE INDEX alerts_by_key ON alerts (key, at);
