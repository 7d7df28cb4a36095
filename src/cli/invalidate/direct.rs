//! An invalidation straight to Valkey, as an instance publishes it.

use std::collections::HashSet;

use futures_util::future::try_join_all;

use super::super::backend;
use super::super::exit::{Exit, Fault};
use super::super::print::Print;
use super::tell_widened;
use crate::backend::{Backend, Publication};
use crate::coherence::publish;
use crate::model::{Event, LogId, Target};

/// Logs it in every shard it concerns and prints its id.
pub(super) async fn publish(
    backend: &impl Backend,
    event: Event,
    exact: bool,
    print: &mut Print,
) -> Result<Exit, Fault> {
    let (event, widened) =
        publish::widened(event, exact).map_err(|error| Fault::usage(format!("{error} (--exact)")))?;
    // Which namespaces others depend on only instances know; keys of such are names in every shard.
    let depended_on: HashSet<_> = event.targets.iter().filter_map(namespace_of_key).collect();
    let parts =
        publish::split(&event, backend.shards(), &depended_on).into_iter().map(async |(shard, event)| {
            // Entries of L2 are not dropped at once, for their namespace's version is not known: their marks make them
            // unusable all the same.
            let publication = Publication {
                event,
                entries: Vec::new(),
                confirm: false,
                along: None,
                known: 0,
                repeat_after: 0,
            };
            backend.publish(shard, publication).await.map(|published| (shard, published.token.seq))
        });
    let parts = try_join_all(parts).await.map_err(|error| backend::fault(&error))?;
    print.line(&LogId::new(parts).to_string())?;
    tell_widened(widened.iter().map(|(from, to)| (from.as_str(), to.as_str())), print);
    Ok(Exit::Done)
}

fn namespace_of_key(target: &Target) -> Option<crate::model::Namespace> {
    match target {
        Target::Key(namespace, _) => Some(namespace.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Captured, memory};
    use super::*;
    use crate::model::{Key, Namespace, Prefix, Shard, ShardCount, Tag};

    fn event() -> Event {
        let users = Namespace::new("users").unwrap();
        Event::hard(vec![
            Target::Key(users.clone(), Key::new("1").unwrap()),
            Target::Prefix(users, Prefix::new("eu/d").unwrap()),
            Target::Tag(Tag::new("t").unwrap()),
        ])
    }

    #[tokio::test]
    async fn it_is_logged_with_its_prefix_widened() {
        let backend = memory(ShardCount::ONE);
        let captured = Captured::default();
        assert_eq!(publish(&backend, event(), false, &mut captured.print()).await, Ok(Exit::Done));
        let logged = backend.read_log(Shard(0), 0, 10).await.unwrap();
        assert_eq!(captured.out(), format!("{}-0\n", logged[0].seq));
        let boundary = Target::Prefix(Namespace::new("users").unwrap(), Prefix::new("eu/").unwrap());
        assert_eq!(logged[0].event.targets[1], boundary);
        assert!(captured.err().contains("prefix `eu/d` ends on no boundary"), "{}", captured.err());
    }

    #[tokio::test]
    async fn every_shard_hears_of_a_key_that_others_may_depend_on() {
        let backend = memory(ShardCount::new(4));
        let captured = Captured::default();
        publish(&backend, event(), false, &mut captured.print()).await.unwrap();
        for shard in ShardCount::new(4).all() {
            let logged = backend.read_log(shard, 0, 10).await.unwrap();
            assert_eq!(logged[0].event.targets.len(), 3, "{shard:?}");
        }
        assert_eq!(captured.out().trim().parse::<LogId>().unwrap().parts().len(), 4);
    }

    #[tokio::test]
    async fn exact_refuses_it_and_logs_nothing() {
        let backend = memory(ShardCount::ONE);
        let captured = Captured::default();
        let refused = publish(&backend, event(), true, &mut captured.print()).await;
        assert!(matches!(refused, Err(Fault::Told(Exit::Usage, why)) if why.contains("`eu/d`")));
        assert_eq!(backend.read_log(Shard(0), 0, 10).await.unwrap(), []);
    }
}
