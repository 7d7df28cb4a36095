//! Every route against every kind of sender: nobody, a stranger, and tokens with each right and each reach.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rows::{CLOUD_EVENT, Needs, ROWS, Reach, Row};
use super::{Token, start};
use crate::harness::command::run;
use crate::harness::instance::{Instance, coherd};
use crate::harness::wait::SOON;

const RIGHTS: [&str; 4] = ["read", "write", "invalidate", "admin"];

/// Each right alone, all but one, and two together; each for one namespace, for another, for both, and for all.
fn tokens() -> Vec<Token> {
    let reaches: [(&str, &[&str]); 4] =
        [("one", &["one"]), ("two", &["two"]), ("both", &["one", "two"]), ("all", &[])];
    let mut sets: Vec<Vec<&str>> = RIGHTS.iter().map(|right| vec![*right]).collect();
    sets.extend(RIGHTS.iter().map(|left_out| RIGHTS.into_iter().filter(|right| right != left_out).collect()));
    sets.push(vec!["invalidate", "admin"]);
    let mut tokens = Vec::new();
    for rights in sets {
        for (reach, namespaces) in reaches {
            tokens.push(Token::new(&format!("{}-{reach}", rights.join("-")), &rights, namespaces));
        }
    }
    tokens
}

fn allowed(needs: Needs, token: &Token) -> bool {
    match needs {
        Needs::Nothing | Needs::Token => true,
        Needs::Rights(rights, reach) => {
            rights.iter().all(|right| token.rights.contains(right))
                && match reach {
                    Reach::Any => true,
                    Reach::One => token.namespaces.is_empty() || token.namespaces.contains(&"one"),
                    Reach::All => token.namespaces.is_empty(),
                }
        }
    }
}

/// The status alone: some answers go on for ever.
async fn status(instance: &Instance, row: &Row, authorization: Option<&str>) -> u16 {
    let address = if row.admin { instance.admin_addr() } else { instance.addr() };
    let mut stream = TcpStream::connect(address).await.expect("the instance accepts");
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    let (line, body) = (row.line, row.body);
    let length = body.len();
    let kind =
        if body.starts_with(CLOUD_EVENT) { "content-type: application/cloudevents+json\r\n" } else { "" };
    let request =
        format!("{line} HTTP/1.1\r\nhost: x\r\n{authorization}{kind}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut head = [0; 12];
    timeout(SOON, stream.read_exact(&mut head)).await.expect("an answer comes").expect("it has a status");
    String::from_utf8_lossy(&head[9..]).parse().unwrap_or_else(|_| panic!("{row:?}: {head:?}"))
}

#[tokio::test]
async fn a_token_opens_what_it_is_for_and_nothing_else_does() {
    let tokens = tokens();
    let instance = start(&tokens).await;
    for row in ROWS {
        let open = matches!(row.needs, Needs::Nothing);
        let near = format!("Bearer {}-s3cre", tokens[0].name);
        let basic = format!("Basic {}-s3cret", tokens[0].name);
        for stranger in [None, Some("Bearer nobody"), Some(&*near), Some(&*basic), Some("Bearer")] {
            let status = status(&instance, row, stranger).await;
            assert_eq!(status, if open { 200 } else { 401 }, "{stranger:?}: {row:?}");
        }
        for token in &tokens {
            let status = status(&instance, row, Some(&token.authorization())).await;
            if allowed(row.needs, token) {
                // A lock that is not held and a write that is not there are answers, too.
                let answered = (200..300).contains(&status) || [400, 404, 409].contains(&status);
                assert!(answered, "{status} for {token:?}: {row:?}");
            } else {
                assert_eq!(status, 403, "{token:?}: {row:?}");
            }
        }
    }
    for line in instance.output().lines() {
        assert!(!line.contains("s3cre"), "{line}");
    }
}

#[test]
fn every_route_has_a_row_for_each_of_its_methods() {
    let source = include_str!("../../src/http/routes.rs");
    for (list, admin) in [("pub enum DataRoute {", false), ("pub enum AdminRoute {", true)] {
        let (_, rest) = source.split_once(list).expect("the list of routes");
        let (body, _) = rest.split_once("\n}").expect("it ends");
        let (mut routes, mut methods) = (BTreeSet::new(), Vec::new());
        // What is within a variant is further in.
        for line in
            body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with(' '))
        {
            if let Some(doc) = line.strip_prefix("/// ") {
                let spans = doc.split('`').skip(1).step_by(2);
                let first = spans.filter_map(|span| span.split_whitespace().next());
                methods = first.filter(|word| word.chars().all(|c| c.is_ascii_uppercase())).collect();
            } else if line.starts_with(|c: char| c.is_ascii_uppercase()) {
                let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
                assert!(!methods.is_empty(), "{line}: its comment says which methods it has");
                routes.extend(methods.iter().map(|method| (line[..end].to_owned(), (*method).to_owned())));
            }
        }
        assert!(10 < routes.len(), "{routes:?}");
        let method = |row: &Row| row.line.split(' ').next().unwrap_or_default().to_owned();
        let rows = ROWS.iter().filter(|row| row.admin == admin);
        let rows: BTreeSet<_> = rows.map(|row| (row.route.to_owned(), method(row))).collect();
        assert_eq!(routes, rows, "{list}");
    }
}

#[tokio::test]
async fn a_token_shows_in_nothing_that_is_printed() {
    let mut check = coherd();
    check.env("TEST_TOKEN", "t0ken-s3cret");
    check.args(["check", "--set"]);
    check.arg(
        r#"auth.tokens=[{ name = "billing", token_env = "TEST_TOKEN", allow = ["admin"], namespaces = [] }]"#,
    );
    let printed = run(&mut check, b"").await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.out.contains("billing") && !printed.out.contains("s3cret"), "{printed:?}");

    let instance = start(&[Token::new("operator", &["admin"], &[])]).await;
    for path in ["/stats", "/v1/rights", "/v1/explain/one/k", "/metrics"] {
        let asked = crate::harness::http::Client::new().get(&instance.admin_url(path));
        let answer = asked.header("authorization", "Bearer operator-s3cret").send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("s3cret"), "{path}: {answer:?}");
    }
}
