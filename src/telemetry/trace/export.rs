//! The task that brings spans to a collector, over OTLP/HTTP: in batches, each a few times and then never again.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::otlp::{self, Resource};
use super::span::Finished;
use super::{QUEUE_MAX, Tracer};
use crate::telemetry::metrics::TraceMetrics;
use crate::telemetry::throttle::Throttle;

/// Spans sent at once.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);
/// Pauses before a batch is sent again.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// What is left when the task is stopped has so long.
const LAST: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL of a collector: spans go to `/v1/traces` below it.
    pub endpoint: String,
    /// Sent with every request; may hold secrets.
    pub headers: Vec<(String, String)>,
    /// For one attempt.
    pub timeout: Duration,
    /// Share of the requests without a `traceparent` that begin a trace, 0 to 1.
    pub sample: f64,
    /// `instance.id`.
    pub instance: String,
    /// `instance.cluster`.
    pub cluster: String,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// `otlp_endpoint` is no URL.
    #[error("`tracing.otlp_endpoint` is no URL of a collector")]
    Endpoint(#[source] hyper::http::uri::InvalidUri),
    /// A header cannot be sent; the value is not repeated.
    #[error("`tracing.headers.{0}` cannot be sent")]
    Header(String),
}

/// Takes spans that have ended.
#[derive(Debug)]
pub struct Exporter {
    finished: mpsc::Receiver<Finished>,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
    resource: Resource,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    metrics: TraceMetrics,
    throttle: Throttle,
}

/// Why a batch was not taken.
struct Refused {
    why: String,
    /// It may be taken later.
    temporary: bool,
}

impl Exporter {
    /// A tracer, and what exports its spans once it runs.
    pub fn new(settings: &Settings, metrics: &TraceMetrics) -> Result<(Tracer, Self), ExportError> {
        let base = settings.endpoint.trim_end_matches('/');
        let uri = format!("{base}/v1/traces").parse().map_err(ExportError::Endpoint)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let refused = || ExportError::Header(name.clone());
            let header = HeaderName::try_from(name).map_err(|_| refused())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| refused())?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        let (tracer, finished) = Tracer::exporting(settings.sample, metrics.dropped.clone());
        let resource = Resource { instance: settings.instance.clone(), cluster: settings.cluster.clone() };
        let (timeout, metrics, throttle) = (settings.timeout, metrics.clone(), Throttle::new());
        Ok((tracer, Self { finished, uri, headers, timeout, resource, client, metrics, throttle }))
    }

    /// Exports until stopped; then what is left, if that is quick.
    pub async fn run(&mut self, stop: &CancellationToken) {
        let mut batch = Vec::new();
        while let Some(count) = stop.run_until_cancelled(self.finished.recv_many(&mut batch, BATCH_MAX)).await
        {
            if count == 0 {
                return;
            }
            self.gather(&mut batch, stop).await;
            self.send(std::mem::take(&mut batch), stop).await;
        }
        while batch.len() < QUEUE_MAX
            && let Ok(span) = self.finished.try_recv()
        {
            batch.push(span);
        }
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        if timeout(LAST, self.attempt(&self.body(&batch))).await.is_ok_and(|sent| sent.is_ok()) {
            self.metrics.exported.inc_by(count);
        } else {
            self.metrics.dropped.inc_by(count);
        }
    }

    /// Waits for more of them, not for long.
    async fn gather(&mut self, batch: &mut Vec<Finished>, stop: &CancellationToken) {
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH_MAX && !stop.is_cancelled() {
            let room = BATCH_MAX - batch.len();
            match timeout_at(until, self.finished.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    async fn send(&self, batch: Vec<Finished>, stop: &CancellationToken) {
        let (count, body) = (batch.len() as u64, self.body(&batch));
        drop(batch);
        let mut pauses = PAUSES.iter();
        loop {
            let cut_off = async {
                stop.cancelled().await;
                sleep(LAST).await;
            };
            let refused = tokio::select! {
                sent = self.attempt(&body) => match sent {
                    Ok(()) => return self.metrics.exported.inc_by(count),
                    Err(refused) => refused,
                },
                () = cut_off => Refused { why: "the instance is stopping".to_owned(), temporary: false },
            };
            let again = pauses.next().filter(|_| refused.temporary && !stop.is_cancelled());
            let Some(pause) = again else {
                self.metrics.dropped.inc_by(count);
                if let Some(suppressed) = self.throttle.pass() {
                    warn!(
                        spans = count,
                        suppressed,
                        error = refused.why,
                        "spans were not exported and are dropped"
                    );
                }
                return;
            };
            stop.run_until_cancelled(sleep(*pause)).await;
        }
    }

    fn body(&self, batch: &[Finished]) -> Bytes {
        otlp::request(&self.resource, batch).into()
    }

    async fn attempt(&self, body: &Bytes) -> Result<(), Refused> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let asked = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            drop(Limited::new(body, ANSWER_BYTES_MAX).collect().await);
            Ok::<_, hyper_util::client::legacy::Error>(head.status)
        };
        let host = self.uri.authority().map_or("", |it| it.as_str());
        match timeout(self.timeout, asked).await {
            Ok(Ok(status)) if status.is_success() => Ok(()),
            Ok(Ok(status)) => {
                let temporary = matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                );
                Err(Refused { why: format!("{host} answered {}", status.as_u16()), temporary })
            }
            Ok(Err(error)) => Err(Refused { why: format!("{host}: {error}"), temporary: true }),
            Err(_) => Err(Refused { why: format!("{host} did not answer in time"), temporary: true }),
        }
    }
}
