//! An HTTP origin: one `GET` a key, with retries, conditions and limits; one `PUT` or `DELETE` a change.

mod answer;
pub(crate) mod fuzzing;
mod pool;
mod settings;
mod talk;
mod target;
#[cfg(test)]
mod tests;
mod traced;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Buf, BufMut, Bytes};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use hyper::{Request, Response, Uri};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

pub use settings::{HttpSettings, HttpSettingsError};

use self::answer::{Meaning, Reading};
use self::pool::Pool;
use self::talk::Answer;
use self::target::Target;
use super::gate::{Gate, Leave};
use super::{
    Applied, Change, Fence, Fetched, Origin, OriginError, Validators, WriteError, absent, chain, over_limit,
};
use crate::guard::{Bulkhead, LeftAlone, Urgency};
use crate::model::{Content, Keep, Key, Loaded};

/// The first pause before a retry; each later one is twice as long, and up to as much again is added at random.
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// The longest pause before the random part.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How much of a body that nobody wants is read so that its connection can be used again, and for how long.
const DRAIN_BYTES_MAX: usize = 64 << 10;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(50);

/// An origin behind HTTP/1.1, with or without TLS.
///
/// Values are asked for as they are (`Accept-Encoding: identity`); an answer with another `Content-Encoding` is a
/// failure. `Vary` is ignored, for every instance asks alike, except for `*`.
pub struct HttpOrigin {
    pool: Pool,
    target: Target,
    headers: HeaderMap,
    gate: Gate,
    retries: usize,
    reading: Reading,
}

/// Why one attempt brought nothing.
struct Failure {
    error: OriginError,
    /// Another attempt may bring something.
    temporary: bool,
}

impl HttpOrigin {
    /// Checks the settings; nothing is connected before the first load.
    pub fn new(settings: &HttpSettings) -> Result<Self, HttpSettingsError> {
        let target = Target::parse(&settings.url, &settings.namespace)?;
        let headers = settings::headers(settings, target.authorization())?;
        let gate = Gate::new(settings.timeout, settings.max_concurrency, Arc::clone(&settings.breaker));
        Ok(Self {
            pool: Pool::new(target.origin(), gate.timeout(), settings.roots.clone()),
            target,
            headers,
            gate,
            retries: usize::try_from(settings.retries).unwrap_or(usize::MAX),
            reading: Reading {
                honour: settings.honour_cache_control,
                max_value: settings.max_value,
                ttl_max: settings.ttl_max,
            },
        })
    }

    /// The concurrency limit, to be read.
    pub fn bulkhead(&self) -> &Bulkhead {
        self.gate.bulkhead()
    }

    async fn attempts(
        &self,
        key: &Key,
        held: Option<&Validators>,
        leave: Leave,
    ) -> Result<Fetched, OriginError> {
        let Some(uri) = self.target.uri(key)? else {
            debug!(entry.key = %key, "a key with dot segments names nothing at the origin");
            return Ok(absent(Vec::new(), Keep::Yes));
        };
        let held = held.filter(|_| self.reading.honour);
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_max_times(if leave.again { self.retries } else { 0 })
            .with_jitter()
            .build();
        loop {
            let failure = match self.attempt(&uri, held).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            let pause = if failure.temporary { pauses.next() } else { None };
            // An error that is known says more than the time-out that a pause up to the deadline would end in.
            match pause.filter(|pause| Instant::now() + *pause < leave.deadline) {
                Some(pause) => {
                    debug!(origin.authority = self.target.authority(), error = %failure.error, "load failed, trying again");
                    sleep(pause).await;
                }
                None => return Err(failure.error),
            }
        }
    }

    async fn attempt(&self, uri: &Uri, held: Option<&Validators>) -> Result<Fetched, Failure> {
        let (request, conditional) = self.request(uri, held);
        let answer = self.ask(request).await.map_err(|error| self.broken(&error))?;
        match answer::meaning(answer.status(), conditional) {
            Meaning::Value => self.value(answer).await,
            Meaning::Empty => Ok(Fetched::Loaded(self.loaded(answer.headers(), Bytes::new()))),
            Meaning::Absent => {
                let fetched =
                    absent(answer::tags(answer.headers()), self.reading.terms(answer.headers()).keep);
                drain(&mut answer.into_body()).await;
                Ok(fetched)
            }
            Meaning::NotModified => {
                let answer::Terms { lifetime, age, keep } = self.reading.terms(answer.headers());
                Ok(Fetched::NotModified { lifetime, age, keep })
            }
            Meaning::Failure { temporary } => {
                let error = OriginError::Status(answer.status().as_u16());
                drain(&mut answer.into_body()).await;
                Err(Failure { error, temporary })
            }
        }
    }

    /// A `GET` until it is made another, with the headers that every request has.
    fn plain(&self, uri: &Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// The request, and whether it is conditional.
    fn request(&self, uri: &Uri, held: Option<&Validators>) -> (Request<Full<Bytes>>, bool) {
        let mut request = self.plain(uri, Bytes::new());
        let Some(Validators { etag, last_modified }) = held else { return (request, false) };
        let mut conditional = false;
        for (name, validator) in [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, last_modified)] {
            // A validator that no header can hold came from no header: the copy is asked for afresh.
            if let Some(value) = validator.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
                request.headers_mut().insert(name, value);
                conditional = true;
            }
        }
        (request, conditional)
    }

    async fn value(&self, answer: Response<Answer>) -> Result<Fetched, Failure> {
        let (head, body) = answer.into_parts();
        if let Some(coding) = answer::foreign_coding(&head.headers) {
            let error = OriginError::Unusable(format!("content coding `{coding}` was not asked for"));
            return Err(Failure { error, temporary: false });
        }
        let limit = super::passed_on_max(self.reading.max_value);
        let too_long = || Failure { error: over_limit(limit), temporary: false };
        if limit < usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) {
            return Err(too_long());
        }
        match Limited::new(body, limit).collect().await {
            Ok(collected) => Ok(Fetched::Loaded(self.loaded(&head.headers, own(collected)))),
            Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
            Err(error) => Err(self.broken(&*error)),
        }
    }

    fn loaded(&self, headers: &HeaderMap, body: Bytes) -> Loaded {
        let too_large = self.reading.max_value < body.len();
        let terms = self.reading.terms(headers);
        Loaded {
            content: Content::Present(self.reading.value(headers, body)),
            tags: answer::tags(headers),
            lifetime: terms.lifetime,
            age: terms.age,
            keep: if too_large { Keep::TooLarge } else { terms.keep },
        }
    }

    /// No connection, or it broke. The message names host and port only: paths and queries may hold secrets.
    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let error = OriginError::Failed(format!("{}: {}", self.target.authority(), chain(error)));
        Failure { error, temporary: true }
    }
}

/// A body in memory of its own: what was read from a connection lies in its buffers, and a copy that is kept would keep
/// them all.
fn own(body: Collected<Bytes>) -> Bytes {
    let body = body.aggregate();
    let mut own = Vec::with_capacity(body.remaining());
    own.put(body);
    own.into()
}

#[async_trait]
impl Origin for HttpOrigin {
    async fn load(
        &self,
        key: &Key,
        held: Option<&Validators>,
        urgency: Urgency,
    ) -> Result<Fetched, OriginError> {
        self.gate.pass(urgency, async |leave| self.attempts(key, held, leave).await).await
    }

    async fn write(
        &self,
        key: &Key,
        change: &Change,
        fence: &Fence,
        urgency: Urgency,
    ) -> Result<Applied, WriteError> {
        // To a reader such a key is absent, but nothing can be done to it.
        let nowhere = || WriteError::Refused("a key with dot segments names nothing there".to_owned());
        let refused = |error: OriginError| WriteError::Refused(error.to_string());
        let uri = self.target.uri(key).map_err(refused)?.ok_or_else(nowhere)?;
        self.gate.pass(urgency, async |leave| self.change(&uri, change, fence, leave.deadline).await).await
    }

    fn left_alone(&self) -> Option<LeftAlone> {
        self.gate.refuses()
    }

    fn tidy(&self) {
        self.pool.tidy();
    }
}

/// Reads the rest of a short answer, so that its connection goes back to the pool; a longer one is closed.
async fn drain(body: &mut Answer) {
    let _either_way = timeout(DRAIN_TIME_MAX, Limited::new(body, DRAIN_BYTES_MAX).collect()).await.is_ok();
}
