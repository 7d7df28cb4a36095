//! An HTTP server that keeps what it was sent: a collector of spans, and an origin that shows which headers came.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::task::{Task, spawn};

/// What a request is met with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets {
    /// 200, and a few bytes.
    Answer,
    /// Nothing, ever.
    Silence,
    /// This status.
    Status(u16),
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The server. Gone, with its connections, when it is dropped.
pub(crate) struct Recorder {
    addr: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
    meets: Arc<Mutex<Meets>>,
    _acceptor: Task,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let (sent, meets) = (Arc::<Mutex<Vec<Sent>>>::default(), Arc::new(Mutex::new(Meets::Answer)));
        let of = (Arc::clone(&sent), Arc::clone(&meets));
        let acceptor = spawn(async move {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (sent, meets) = of.clone();
                connections.push(spawn(async move {
                    let service = service_fn(|request| meet(request, &sent, &meets));
                    // A client that goes away breaks its connection.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                }));
            }
        });
        Self { addr, sent, meets, _acceptor: acceptor }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn meet(&self, meets: Meets) {
        *self.meets.lock().unwrap_or_else(PoisonError::into_inner) = meets;
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans that it was sent, each beside the instance it came from.
    pub(crate) fn spans(&self) -> Vec<(String, Value)> {
        let mut spans = Vec::new();
        for sent in self.sent() {
            assert_eq!(
                (sent.path.as_str(), sent.headers["content-type"].as_bytes()),
                ("/v1/traces", &b"application/json"[..])
            );
            let document: Value = serde_json::from_slice(&sent.body).expect("an export is JSON");
            for of in document["resourceSpans"].as_array().expect("a list") {
                let instance = text(&of["resource"]["attributes"], "service.instance.id");
                for scope in of["scopeSpans"].as_array().expect("a list") {
                    let all = scope["spans"].as_array().expect("a list");
                    spans.extend(all.iter().map(|span| (instance.clone(), span.clone())));
                }
            }
        }
        spans
    }
}

/// What an attribute of that name says.
pub(crate) fn text(attributes: &Value, name: &str) -> String {
    let found = attributes.as_array().into_iter().flatten().find(|it| it["key"] == name);
    let value = found.and_then(|it| it["value"].as_object()?.values().next()?.as_str());
    value.unwrap_or_else(|| panic!("no {name} in {attributes}")).to_owned()
}

async fn meet(
    request: Request<Incoming>,
    sent: &Mutex<Vec<Sent>>,
    meets: &Mutex<Meets>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    sent.lock().unwrap_or_else(PoisonError::into_inner).push(Sent { path, headers: head.headers, body });
    let meets = *meets.lock().unwrap_or_else(PoisonError::into_inner);
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    match meets {
        Meets::Answer => {}
        Meets::Silence => std::future::pending().await,
        Meets::Status(status) => *response.status_mut() = status.try_into().expect("a status"),
    }
    Ok(response)
}
