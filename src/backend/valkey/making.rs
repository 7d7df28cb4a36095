//! Making the connections of a generation.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join_all};

use super::batches::Batches;
use super::cluster::Node;
use super::connection::{Connection, Opener, Task};
use super::durable::Aof;
use super::handshake::{Checked, Fault};
use super::link::Parts;
use super::rounds::Rounds;
use super::sentinel::Primary;
use super::{Valkey, function, handshake};
use crate::backend::BackendError;

impl Valkey {
    /// The connections of a generation, each checked: to the server, or to one of a Cluster, whose shards are reconciled with
    /// it one by one as they are found there.
    pub(super) async fn connect(&self, node: Option<&Node>) -> Result<Parts, Fault> {
        if let Some(node) = node {
            return self.connect_to(node.opener(), Some(node), None).await;
        }
        let Some(sentinels) = &self.sentinels else { return self.connect_to(&self.opener, None, None).await };
        let primary = sentinels.primary().await?;
        let opener = primary.opener.clone();
        let made = self.connect_to(&opener, None, Some(primary)).await;
        made.map_err(|fault| match fault {
            // it was a primary a moment ago: the sentinels know who is one now
            Fault::Replica(why) => Fault::Down(BackendError::Unavailable(why)),
            fault => fault,
        })
    }

    async fn connect_to(
        &self,
        opener: &Opener,
        node: Option<&Node>,
        primary: Option<Primary>,
    ) -> Result<Parts, Fault> {
        // what waits for replicas or the disk holds up everything behind it on its connection
        let waits = 0 < self.context.min_replicas_ack || self.context.takes_writes;
        let waiting = if waits { self.pool } else { 0 };
        let data = (0..self.pool).map(|_| self.check(opener.open_pipe().boxed(), node).boxed());
        let made = try_join_all(data.chain((0..waiting).map(|_| self.open(opener, node).boxed()))).await?;
        let (mut data, mut tasks, mut checks) = (Vec::new(), Vec::new(), Vec::new());
        for (connection, task, checked) in made {
            data.push(connection);
            tasks.push(task);
            checks.push(checked);
        }
        let Some(Checked { server, mut warnings, aof }) = checks.pop() else {
            return Err(Fault::Down(BackendError::Unavailable("no connection was made".to_owned())));
        };
        if self.provides_function()
            && let Err(error) = function::provide(&data[0]).await
        {
            warnings.push(format!("the function `coherd_invalidate` could not be loaded: {error}"));
        }
        let waiting = data.split_off(self.pool);
        let rounds = Rounds::over(&waiting, self.context.keys.count(), aof);
        let batches = Batches::new(self.context.keys.count());
        let opener = opener.clone();
        Ok(Parts { server, warnings, data, waiting, rounds, batches, tasks, opener, primary })
    }

    /// One connection that may be used, for what may wait in the server, too.
    pub(super) async fn open(
        &self,
        opener: &Opener,
        node: Option<&Node>,
    ) -> Result<(Connection, Task, Checked), Fault> {
        self.check(opener.open().boxed(), node).await
    }

    async fn check(
        &self,
        opening: BoxFuture<'_, Result<(Connection, Task), BackendError>>,
        node: Option<&Node>,
    ) -> Result<(Connection, Task, Checked), Fault> {
        let (connection, task) = opening.await?;
        let checked = match node {
            Some(_) => handshake::look_over(&self.context, &connection).await?,
            None => handshake::handshake(&self.context, &connection).await?,
        };
        Ok((connection, task, checked))
    }

    /// Replicas are only peeked at, and what they hold proves itself: nothing to check.
    pub(super) async fn connect_reader(&self, opener: Opener) -> Result<Parts, Fault> {
        let made = try_join_all((0..self.pool).map(|_| opener.open_pipe())).await?;
        let (data, tasks) = made.into_iter().unzip();
        Ok(Parts {
            server: "a replica".to_owned(),
            warnings: Vec::new(),
            data,
            waiting: Vec::new(),
            rounds: Rounds::over(&[], self.context.keys.count(), Aof::Off),
            batches: Batches::new(self.context.keys.count()),
            tasks,
            opener,
            primary: None,
        })
    }

    /// An event concerns every shard, a function call reaches one.
    pub(super) fn provides_function(&self) -> bool {
        !self.opener.is_clustered()
    }
}
