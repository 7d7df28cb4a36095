//! The map of a Valkey Cluster: which server has which slot, as one of its nodes tells it.

use fred::types::Value;
use fred::types::config::Server;

use super::super::connection::{Command, Connection};
use super::super::errors::explain;
use super::super::reply::{Parts, number, text};
use crate::backend::BackendError;

/// Servers that are remembered, to be asked for the map later.
const KNOWN_MAX: usize = 256;

/// What a node knows of its Cluster.
#[derive(Debug, Default)]
pub(super) struct Map {
    ranges: Vec<(u64, u64, Server)>,
    /// Every node it names, replicas too.
    pub(super) known: Vec<Server>,
}

impl Map {
    /// Asks the node at `of`.
    pub(super) async fn ask(connection: &Connection, of: &Server) -> Result<Self, BackendError> {
        let answer = connection.call(Command::new("CLUSTER", 0).arg("SLOTS")).await;
        Self::read(answer.map_err(|error| explain(&error))?, of)
    }

    fn read(answer: Value, of: &Server) -> Result<Self, BackendError> {
        const OF: &str = "CLUSTER SLOTS";
        let mut ranges = Parts::of(OF, answer)?;
        let mut map = Self::default();
        while !ranges.is_empty() {
            let mut range = Parts::of(OF, ranges.value()?)?;
            let (first, last) = (range.number()?, range.number()?);
            let mut primary = true;
            while !range.is_empty() {
                let node = server(Parts::of(OF, range.value()?)?, of)?;
                if let Some(server) = node {
                    if !map.known.contains(&server) && map.known.len() < KNOWN_MAX {
                        map.known.push(server.clone());
                    }
                    if primary {
                        map.ranges.push((first, last, server));
                    }
                }
                primary = false;
            }
        }
        Ok(map)
    }

    /// Who has a slot, if anybody.
    pub(super) fn of(&self, slot: u16) -> Option<&Server> {
        let within = |(first, last, _): &&(u64, u64, Server)| (*first..=*last).contains(&u64::from(slot));
        self.ranges.iter().find(within).map(|(_, _, server)| server)
    }
}

/// A node: host, port, id, and more. Without a host it is the one that was asked; `?` is one that nobody can name.
fn server(mut node: Parts, of: &Server) -> Result<Option<Server>, BackendError> {
    let host = text(node.value()?).filter(|host| !host.is_empty());
    let port = number(node.value()?).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| node.wrong("a port is not a number up to 65535"))?;
    Ok(match host.as_deref() {
        Some("?") => None,
        Some(host) => Some(Server::new(host, port)),
        None => Some(Server::new(&*of.host, port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Integer(port), Value::from("id"), Value::Array(Vec::new())])
    }

    #[test]
    fn slots_are_their_primaries() {
        let range = |first: i64, last: i64, nodes: Vec<Value>| {
            Value::Array([vec![Value::Integer(first), Value::Integer(last)], nodes].concat())
        };
        let answer = Value::Array(vec![
            range(0, 99, vec![node(Value::from("10.0.0.1"), 7000), node(Value::from("10.0.0.2"), 7001)]),
            range(100, 100, vec![node(Value::Null, 7002)]),
            range(200, 300, vec![node(Value::from("?"), 7003), node(Value::from("10.0.0.2"), 7001)]),
        ]);
        let map = Map::read(answer, &Server::new("asked", 1)).unwrap();
        let of = |slot| map.of(slot).map(ToString::to_string);
        assert_eq!((of(0), of(99)), (Some("10.0.0.1:7000".to_owned()), Some("10.0.0.1:7000".to_owned())));
        assert_eq!(of(100).as_deref(), Some("asked:7002"));
        assert_eq!((of(101), of(200)), (None, None), "a replica does not stand in for its primary");
        assert_eq!(map.known.len(), 3);
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        for answer in [Value::from("x"), Value::Array(vec![Value::Array(vec![Value::from("x")])])] {
            Map::read(answer, &Server::new("h", 1)).unwrap_err();
        }
    }
}
