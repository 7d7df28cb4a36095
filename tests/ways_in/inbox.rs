//! The inbox: durable on the stream, best effort on the channel, and one event for one message.

use serde_json::json;

use super::{INBOX, channel_is_read, head, hold, inbox_is_empty, key_event, logged, obeyed, three, version};
use crate::harness::instance::{Cluster, NAMESPACE};

#[tokio::test]
async fn what_was_put_into_the_stream_while_no_instance_ran_is_obeyed_when_the_first_is_back() {
    let mut cluster = Cluster::with(three()).await;
    for key in ["1", "2", "3", "4"] {
        hold(&cluster, NAMESPACE, key).await;
    }
    for node in &mut cluster.nodes {
        node.instance.kill().await;
    }
    for key in ["1", "2", "3", "4"] {
        cluster.origin.bump(key);
    }
    let server = &cluster.server;
    let event = key_event("2").to_string();
    server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", "1"]).await;
    server.command(&["XADD", INBOX, "*", "nonsense", "1"]).await;
    server.command(&["XADD", INBOX, "*", "event", &event]).await;
    // An instance that is gone had taken this one, and did not finish it.
    let taken = server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", "3"]).await.text();
    server.command(&["XGROUP", "CREATE", INBOX, "coherd", "0", "MKSTREAM"]).await;
    server.command(&["XGROUP", "CREATECONSUMER", INBOX, "coherd", "ghost"]).await;
    server.command(&["XCLAIM", INBOX, "coherd", "ghost", "0", &taken, "FORCE", "IDLE", "3600000"]).await;
    server.command(&["XADD", INBOX, "*", "ns", NAMESPACE, "key", "4"]).await;

    cluster.nodes[0].instance.restart().await;
    inbox_is_empty(&cluster.server).await;
    let first = cluster.instance(0);
    for key in ["1", "2", "3", "4"] {
        assert_eq!(version(&first.get(NAMESPACE, key).send().await), 2, "`{key}`");
    }
    for node in &mut cluster.nodes[1..] {
        node.instance.restart().await;
    }
    for key in ["1", "2", "3", "4"] {
        obeyed(&cluster, NAMESPACE, key).await;
    }
}

#[tokio::test]
async fn three_instances_make_one_event_of_one_message() {
    let cluster = Cluster::with(three()).await;
    // Whoever has only just begun to listen cannot know what was logged before a message.
    channel_is_read(&cluster).await;
    for number in 0..10 {
        let before = logged(&cluster.server).await;
        let event = json!({ "tags": [format!("t{number}")] }).to_string();
        assert_eq!(cluster.server.command(&["PUBLISH", INBOX, &event]).await.integer(), 3);
        channel_is_read(&cluster).await;
        assert_eq!(logged(&cluster.server).await - before, 1, "message {number}");
    }
}

#[tokio::test]
async fn the_same_message_sent_again_is_an_event_again() {
    let cluster = Cluster::with(three()).await;
    let event = key_event("k").to_string();
    for round in 0..5 {
        hold(&cluster, NAMESPACE, "k").await;
        cluster.origin.bump("k");
        cluster.server.command(&["PUBLISH", INBOX, &event]).await;
        obeyed(&cluster, NAMESPACE, "k").await;
        let (before, count) = (head(&cluster.server).await, logged(&cluster.server).await);

        hold(&cluster, NAMESPACE, "k").await;
        cluster.origin.bump("k");
        cluster.server.command(&["PUBLISH", INBOX, &event]).await;
        obeyed(&cluster, NAMESPACE, "k").await;
        channel_is_read(&cluster).await;
        assert_ne!(head(&cluster.server).await, before, "round {round}");
        assert_eq!(logged(&cluster.server).await - count, 1, "round {round}");
    }
}

#[tokio::test]
async fn of_messages_sent_back_to_back_the_last_is_never_lost() {
    let cluster = Cluster::with(three()).await;
    let message = |key: &str| vec!["PUBLISH".to_owned(), INBOX.to_owned(), key_event(key).to_string()];
    let mut connection = cluster.server.connect().await;
    for _ in 0..10 {
        hold(&cluster, NAMESPACE, "k").await;
        // The change falls between two of them: the first cannot stand for the others.
        connection.pipeline(&[message("k"), message("k")]).await.expect("the server answers");
        cluster.origin.bump("k");
        connection.pipeline(&[message("k")]).await.expect("the server answers");
        obeyed(&cluster, NAMESPACE, "k").await;
    }
}
