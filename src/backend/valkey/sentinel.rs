//! Sentinels: they are asked who the primary is before each generation, and while one lasts whether that is still so.
//!
//! Each generation is an ordinary one, to the one server that a sentinel names and that says of itself that it is a
//! primary. Nothing is followed behind its back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::types::Value;
use fred::types::config::Server;
use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::connection::{Command, Connection, Opener, Task};
use super::errors::explain;
use super::handshake::Fault;
use super::reply::{Parts, text};
use crate::backend::BackendError;

/// How often each sentinel is asked whether the primary is still the one in use.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What one sentinel says of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    server: Server,
    /// Grows with each failover: who says a lower one knows less.
    epoch: u64,
    /// A primary that has not answered for so long may be replaced.
    down_after: Duration,
}

/// The primary as it was found.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    named: Named,
    /// The way there.
    pub(super) opener: Opener,
}

impl Primary {
    /// A server that does not answer for so long is left: well before the sentinels can have put another in its place.
    pub(super) fn patience(&self) -> Duration {
        self.named.down_after / 4
    }
}

/// The sentinels of one primary.
pub(super) struct Sentinels {
    servers: Vec<Server>,
    service: String,
    /// How servers and sentinels are reached, wherever they are.
    opener: Opener,
    /// For one server that is named to show that it is a primary.
    limit: Duration,
    /// The highest epoch that any of them has told.
    epoch: AtomicU64,
}

impl Sentinels {
    /// Those at `servers`; they are asked for the primary they call `service`.
    pub(super) fn new(servers: Vec<Server>, service: String, opener: Opener, limit: Duration) -> Self {
        Self { servers, service, opener, limit, epoch: AtomicU64::new(0) }
    }

    /// Asks all of them at once: the first server that one of them names and that says it is a primary. What a sentinel
    /// says that knows less than another counts only where no other leads to a primary: it may have slept over a failover.
    pub(super) async fn primary(&self) -> Result<Primary, Fault> {
        let known = self.epoch.load(Ordering::Relaxed);
        let mut answers: FuturesUnordered<_> =
            self.servers.iter().map(|sentinel| self.find(sentinel, known)).collect();
        let (mut late, mut why, mut unknown) = (Vec::new(), None, 0);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Found::Primary(primary)) => return Ok(*primary),
                Ok(Found::Late(named)) => late.push(named),
                Ok(Found::Unknown) => unknown += 1,
                Err(error) => why = Some(error),
            }
        }
        late.sort_by_key(|named| std::cmp::Reverse(named.epoch));
        for named in late {
            match self.check(named).await {
                Ok(primary) => return Ok(primary),
                Err(error) => why = Some(error),
            }
        }
        Err(match why {
            None if 0 < unknown => Fault::Refused(format!(
                "no sentinel knows a primary called `{}`: see `service` in `backend.url`",
                self.service
            )),
            why => Fault::Down(why.unwrap_or_else(|| BackendError::Unavailable("no sentinel".to_owned()))),
        })
    }

    /// Resolves with the reason when a sentinel names another primary than `current`, which says that it is one.
    pub(super) async fn replaced(&self, current: &Primary) -> String {
        select_all(self.servers.iter().map(|sentinel| Box::pin(self.watch(sentinel, current)))).await.0
    }

    async fn watch(&self, sentinel: &Server, current: &Primary) -> String {
        loop {
            if let Ok((connection, _task)) = self.open(sentinel).await {
                while let Ok(answer) = self.ask(&connection).await {
                    if let Some(named) = answer
                        && named.server != current.named.server
                        && current.named.epoch <= named.epoch
                        && let Ok(Primary { named, .. }) = self.check(named).await
                    {
                        let Server { host, port, .. } = named.server;
                        return format!("the sentinels have made {host}:{port} the primary");
                    }
                    sleep(ASK_EVERY).await;
                }
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// What one of them leads to.
    async fn find(&self, sentinel: &Server, known: u64) -> Result<Found, BackendError> {
        let (connection, _task) = self.open(sentinel).await.map_err(|error| of(sentinel, &error))?;
        match self.ask(&connection).await.map_err(|error| of(sentinel, &error))? {
            None => Ok(Found::Unknown),
            Some(named) if named.epoch < known => Ok(Found::Late(named)),
            Some(named) => self.check(named).await.map(Box::new).map(Found::Primary),
        }
    }

    /// With user and password, and without where it refuses those: sentinels are often open to all.
    async fn open(&self, sentinel: &Server) -> Result<(Connection, Task), BackendError> {
        match self.opener.to_sentinel(sentinel, true).open().await {
            Err(BackendError::Refused(_)) => self.opener.to_sentinel(sentinel, false).open().await,
            opened => opened,
        }
    }

    async fn ask(&self, connection: &Connection) -> Result<Option<Named>, BackendError> {
        let ask = |what| Command::new("SENTINEL", 0).args([what, self.service.as_str()]);
        // the one that leads a failover names the server that was promoted here first
        let answers = connection.call_all(vec![ask("get-master-addr-by-name"), ask("master")]).await;
        let answers = answers.map_err(|error| explain(&error))?;
        let Ok([address, state]) = <[_; 2]>::try_from(answers) else { return Ok(None) };
        let address = address.map_err(|error| explain(&error))?;
        if address.is_null() {
            return Ok(None);
        }
        named(address, state.map_err(|error| explain(&error))?).map(Some)
    }

    /// Whether the named server says that it is a primary.
    async fn check(&self, named: Named) -> Result<Primary, BackendError> {
        let opener = self.opener.at(&named.server);
        let role = timeout(self.limit, async {
            let (connection, _task) = opener.open().await?;
            let answer = connection.call(Command::new("ROLE", 0)).await.map_err(|error| explain(&error))?;
            Parts::of("ROLE", answer)?.text()
        });
        let role = role.await.unwrap_or(Err(BackendError::TimedOut));
        let role = role.map_err(|error| of(&named.server, &error))?;
        if role != "master" {
            let Server { host, port, .. } = named.server;
            return Err(BackendError::Unavailable(format!(
                "the sentinels name {host}:{port}, which is no primary yet or no more"
            )));
        }
        self.epoch.fetch_max(named.epoch, Ordering::Relaxed);
        Ok(Primary { named, opener })
    }
}

enum Found {
    Primary(Box<Primary>),
    /// The sentinel knows less than another did.
    Late(Named),
    /// The sentinel does not know of such a primary.
    Unknown,
}

/// Whose trouble it is.
fn of(Server { host, port, .. }: &Server, error: &BackendError) -> BackendError {
    BackendError::Unavailable(format!("{host}:{port}: {error}"))
}

fn named(address: Value, state: Value) -> Result<Named, BackendError> {
    let mut address = Parts::of("SENTINEL get-master-addr-by-name", address)?;
    let host = address.text()?;
    let port = address.text()?.parse().map_err(|_| address.wrong("no port"))?;
    let mut state = Parts::of("SENTINEL master", state)?;
    let (mut epoch, mut down_after) = (0, 0);
    while !state.is_empty() {
        let (name, value) = (state.text()?, state.value()?);
        let number = || text(value)?.parse().ok();
        match name.as_str() {
            "config-epoch" => epoch = number().unwrap_or(0),
            "down-after-milliseconds" => down_after = number().unwrap_or(0),
            _ => {}
        }
    }
    Ok(Named { server: Server::new(host, port), epoch, down_after: Duration::from_millis(down_after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
    }

    #[test]
    fn what_a_sentinel_says_is_read() {
        let state = list(&["name", "main", "down-after-milliseconds", "900", "config-epoch", "7"]);
        let named = named(list(&["10.0.0.1", "6380"]), state).unwrap();
        assert_eq!(named.server, Server::new("10.0.0.1", 6380));
        assert_eq!((named.epoch, named.down_after), (7, Duration::from_millis(900)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(super::named(list(&["10.0.0.1", "port"]), list(&[])).is_err());
        assert!(super::named(list(&["10.0.0.1"]), list(&[])).is_err());
        assert!(super::named(list(&["10.0.0.1", "1"]), Value::from("x")).is_err());
    }
}
