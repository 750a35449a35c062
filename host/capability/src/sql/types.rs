//! The plain types of the sql capability. How they look in WIT is the glue's matter, how they are stored the backend's.

/// A portable SQL value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// BOOLEAN
    Boolean(bool),
    /// BIGINT
    Int64(i64),
    /// DOUBLE PRECISION; never NaN, which engines disagree about.
    Float64(f64),
    /// TEXT; without NUL, which engines disagree about.
    Text(String),
    /// BYTEA
    Blob(Vec<u8>),
}

impl Value {
    /// What the value counts against limits on bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Int64(_) | Self::Float64(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
        }
    }
}

/// One SQL statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, with `$1`, `$2`, ... for the parameters.
    pub sql: String,
    /// The parameters, in order.
    pub parameters: Vec<Value>,
    /// How many rows the statement has to change.
    pub expected_rows: Option<u64>,
}

impl Statement {
    /// A statement that may change any number of rows.
    pub fn new(sql: impl Into<String>, parameters: Vec<Value>) -> Self {
        Self { sql: sql.into(), parameters, expected_rows: None }
    }

    /// The same statement, which has to change `rows` rows.
    #[must_use]
    pub fn expecting(mut self, rows: u64) -> Self {
        self.expected_rows = Some(rows);
        self
    }
}

/// Names an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationKey {
    /// Who owns it: interface#function, subscription, projection.
    pub owner: String,
    /// Its key.
    pub key: String,
}

impl OperationKey {
    /// The key `key` of `owner`.
    pub fn new(owner: impl Into<String>, key: impl Into<String>) -> Self {
        Self { owner: owner.into(), key: key.into() }
    }
}

/// An event that leaves with a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The topic.
    pub topic: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// CloudEvents `subject`.
    pub subject: Option<String>,
    /// Events with the same ordering key are delivered in commit order.
    pub ordering_key: Option<String>,
    /// Carried through the whole of one business operation.
    pub correlation_id: Option<String>,
    /// W3C trace context of the commit.
    pub traceparent: Option<String>,
    /// Not delivered before this many milliseconds have passed since the commit.
    pub delay_ms: Option<u64>,
    /// Not delivered after this many milliseconds since the commit.
    pub ttl_ms: Option<u64>,
    /// Higher goes first where a subscription has a backlog.
    pub priority: Option<u8>,
    /// CloudEvents `dataschema`.
    pub dataschema: Option<String>,
    /// JSON.
    pub data: Vec<u8>,
}

/// A keyed commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Names the effect.
    pub key: OperationKey,
    /// Of the input; another one under the same key is a mistake of the caller.
    pub fingerprint: String,
    /// Run in order.
    pub statements: Vec<Statement>,
    /// Leave in order.
    pub events: Vec<OutgoingEvent>,
    /// Kept with the key, for whoever asks again.
    pub answer: Vec<u8>,
}

/// Undoes a keyed commit, or keeps it from ever happening.
#[derive(Clone, Debug, PartialEq)]
pub struct Revocation {
    /// The key of the commit.
    pub key: OperationKey,
    /// Run in order, if the key is recorded.
    pub statements: Vec<Statement>,
    /// Leave in order, if the key is recorded.
    pub events: Vec<OutgoingEvent>,
}

/// What a keyed commit left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The fingerprint of the input that the commit was made with.
    pub fingerprint: String,
    /// The answer that was committed.
    pub answer: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub committed_at_ms: u64,
}

/// The values of one row, in the order of the columns.
pub type Row = Vec<Value>;

/// The rows of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}
