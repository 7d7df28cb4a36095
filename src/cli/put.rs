//! `coherd put`: stores a value; what that means is the namespace's `write`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, stdin};

use super::args::Data;
use super::entry;
use super::exit::{Exit, Fault, told};
use super::print::Print;
use crate::model::{Invalid, Key, Namespace, Tag};

/// The largest value that is sent, in bytes: it is read before it is sent.
const VALUE_BYTES_MAX: u64 = 1 << 30;

/// What to store.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  coherd put users 42 --file user.json --content-type application/json --tag team:7"
)]
pub struct Args {
    /// The namespace
    #[arg(value_parser = entry::namespace)]
    namespace: Namespace,
    /// The key; it may hold slashes
    #[arg(value_parser = entry::key)]
    key: Key,
    /// The value; - is stdin
    #[arg(long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The value's media type, kept with it
    #[arg(long, value_name = "TYPE", value_parser = header)]
    content_type: Option<HeaderValue>,
    /// The lease that a `get` without a value was given: stored only if nothing invalidated the key since
    #[arg(long, value_name = "LEASE", value_parser = header)]
    lease: Option<HeaderValue>,
    /// A tag of the value; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    tags: Vec<Tag>,
    #[command(flatten)]
    data: Data,
}

/// Runs it.
pub(super) async fn run(args: Args, print: &mut Print) -> Result<Exit, Fault> {
    let Args { namespace, key, file, content_type, lease, tags, data } = args;
    let mut ask = entry::ask(Method::PUT, &namespace, &key);
    ask.headers.extend(content_type.map(|kind| (CONTENT_TYPE, kind)));
    ask.headers.extend(lease.map(|lease| (HeaderName::from_static("coherd-lease"), lease)));
    let cache_tag = HeaderName::from_static("cache-tag");
    // A line each: together they may be longer than a server reads as one.
    ask.headers.extend(tags.iter().map(|tag| (cache_tag.clone(), tag_value(tag))));
    ask.body = value(&file).await?;
    entry::run(&data, ask, print).await
}

fn header(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| "it holds what a header cannot".to_owned())
}

fn tag(text: &str) -> Result<Tag, Invalid> {
    Tag::new(text)
}

fn tag_value(tag: &Tag) -> HeaderValue {
    HeaderValue::try_from(&**tag).expect("a tag is visible ASCII")
}

async fn value(file: &Path) -> Result<Bytes, Fault> {
    if file == Path::new("-") {
        return whole(stdin(), VALUE_BYTES_MAX, "stdin").await;
    }
    let name = file.display().to_string();
    match File::open(file).await {
        Ok(file) => whole(file, VALUE_BYTES_MAX, &name).await,
        Err(error) => Err(Fault::usage(format!("{name} cannot be opened: {}", told(&error)))),
    }
}

async fn whole(from: impl AsyncRead + Unpin, max: u64, name: &str) -> Result<Bytes, Fault> {
    let mut value = Vec::new();
    let read = from.take(max + 1).read_to_end(&mut value).await;
    match read {
        Ok(bytes) if max < bytes as u64 => Err(Fault::usage(format!("{name} has more than {max} bytes"))),
        Ok(_) => Ok(value.into()),
        Err(error) => Err(Fault::failed(format!("{name} cannot be read: {}", told(&error)))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, Server, run, text};
    use super::*;

    #[tokio::test]
    async fn a_file_is_sent_with_its_type_its_lease_and_its_tags() {
        let server = Server::start(|request| {
            assert_eq!((request.method(), request.uri().path()), (&Method::PUT, "/v1/cache/users/7"));
            let headers = request.headers();
            assert_eq!(headers["content-type"], "text/plain");
            assert_eq!(headers["coherd-lease"], "l3ase");
            let tags: Vec<_> = headers.get_all("cache-tag").iter().collect();
            assert_eq!(tags, ["a", "team:7"]);
            assert_eq!(request.body(), "value");
            text(204, "")
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("value");
        std::fs::write(&file, "value").unwrap();
        let captured = Captured::default();
        let file = file.to_str().unwrap();
        let line = ["put", "users", "7", "--file", file, "--content-type", "text/plain", "--lease", "l3ase"];
        let line = [&line[..], &["--tag", "a", "--tag", "team:7", "--url", server.url()]].concat();
        assert_eq!(run(&line, &captured).await, Exit::Done, "{}", captured.err());
        assert_eq!(captured.err(), "204 No Content\n");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_bad_usage_and_asks_nobody() {
        let captured = Captured::default();
        let line = ["put", "users", "7", "--file", "/nonexistent/value", "--url", "http://127.0.0.1:1"];
        assert_eq!(run(&line, &captured).await, Exit::Usage);
        assert!(
            captured.err().starts_with("coherd: /nonexistent/value cannot be opened: "),
            "{}",
            captured.err()
        );
    }

    #[tokio::test]
    async fn a_value_that_is_too_large_is_not_sent_in_part() {
        assert_eq!(whole(&b"12345"[..], 5, "x").await.unwrap(), "12345");
        assert_eq!(whole(&b"123456"[..], 5, "x").await, Err(Fault::usage("x has more than 5 bytes")));
    }
}
