//! Tasks that fail, under coherd's own supervisor and in its own metrics: nothing from outside can make those of a sound
//! process do so.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use coherd::supervisor::{Stage, Supervisor, TaskError};
use coherd::telemetry::Metrics;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use crate::harness::task::{Task, spawn};

/// A supervisor whose metrics can be scraped.
pub(super) struct Supervised {
    addr: SocketAddr,
    supervisor: Supervisor,
    _door: Task,
}

impl Supervised {
    /// One that has no tasks yet.
    pub(super) async fn start() -> Self {
        let metrics = Arc::new(Metrics::new(&[], "0", "test").expect("the families can be registered"));
        let supervisor = Supervisor::new(metrics.tasks.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port can be listened on");
        let addr = listener.local_addr().expect("a listener has an address");
        Self { addr, supervisor, _door: spawn(serve(listener, metrics)) }
    }

    /// Where the metrics are.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.addr)
    }

    /// Two tasks: one that ends with an error each time, one that panics until it is given up.
    pub(super) fn fail(&self) {
        self.supervisor.task(Stage::Load, "test.fails", |_| async { Err(TaskError::from("as asked")) });
        self.supervisor.task(Stage::Load, "test.panics", |_| async { panic!("as asked") });
    }
}

async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    // Dropped, and so aborted, with this task.
    let mut running = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let metrics = Arc::clone(&metrics);
        running.push(spawn(async move {
            let page = service_fn(move |_: Request<Incoming>| {
                let page = Response::new(Full::new(Bytes::from(metrics.text())));
                async { Ok::<_, Infallible>(page) }
            });
            // An error is a scraper that went away.
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), page).await.ok();
        }));
    }
}
