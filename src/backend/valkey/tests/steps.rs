//! Publications together: what they do in one step is what they do one after the other, and each has its own answer.

use std::fmt::Write as _;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;
use crate::backend::valkey::publish::step;
use crate::backend::{Along, Durability};
use crate::model::Provenance;

const HISTORIES: usize = 60;
/// Of publications that are made one at a time before those that are made together.
const BEFORE_MAX: usize = 6;
const TOGETHER_MAX: usize = 12;

/// What a publication asks for; keys, loads and queues are few, so that they meet.
pub(super) fn any_publication() -> impl Strategy<Value = Publication> {
    let keys = || select(vec!["1", "eu/2", "eu/de:3"]);
    let load = || select(vec!["l1", "l2"]).prop_map(|load| LoadId(load.into()));
    let put = || {
        (any::<bool>(), 0..3_u64, 0..3_u64).prop_map(|(tagged, fresh, kept)| Put {
            names: if tagged { vec![Name::tag(&Tag::new("team:7").unwrap())] } else { Vec::new() },
            envelope: Bytes::from(format!("value {fresh} {kept}")),
            fresh: Duration::from_secs(100 * fresh),
            kept: Duration::from_secs(100 * kept),
        })
    };
    let along = prop_oneof![
        2 => (load(), put()).prop_map(|(load, put)| Some(Along::Value { entry: entry("1"), load, put })),
        2 => load().prop_map(|load| {
            Some(Along::Quarantine { entry: entry("1"), load, hold: Duration::from_secs(100) })
        }),
        3 => (load(), proptest::option::of(put()), proptest::option::of(0..9_u64)).prop_map(
            |(load, put, written)| Some(Along::Ended { entry: entry("1"), load, put, written })
        ),
        6 => (load(), put(), 0..2_u16, select(vec![2_u64, 100])).prop_map(
            |(load, put, partition, backlog_max)| Some(Along::Pending {
                entry: entry("1"), load, put, partition, backlog_max, wanted: Durability::Memory,
            })
        ),
        4 => Just(None),
    ];
    let others = prop_oneof![
        4 => keys().prop_map(key_target),
        1 => Just(tag("team:7")),
        1 => Just(prefix("eu/")),
        1 => Just(Target::Namespace(ns())),
        1 => Just(Target::All),
    ];
    let event = (keys(), proptest::collection::vec(others, 0..3), any::<bool>());
    let more = (any::<bool>(), proptest::option::weighted(0.3, select(vec!["r1", "r2"])), any::<bool>());
    (along, event, more).prop_map(|(along, (about, others, soft), (drops, request, confirm))| {
        let mut targets = vec![key_target(about)];
        targets.extend(others);
        Publication {
            event: Event {
                targets,
                hardness: if soft && along.is_none() { Hardness::Soft } else { Hardness::Hard },
                provenance: Provenance { source: "s".to_owned(), reason: String::new(), trace: None },
                request_id: request.map(str::to_owned),
            },
            entries: if drops { vec![entry(about)] } else { Vec::new() },
            confirm,
            along: along.map(|along| about_key(along, about)),
            known: 0,
            repeat_after: 0,
        }
    })
}

/// The same about another key.
fn about_key(mut along: Along, about: &str) -> Along {
    match &mut along {
        Along::Value { entry: of, .. }
        | Along::Quarantine { entry: of, .. }
        | Along::Ended { entry: of, .. }
        | Along::Pending { entry: of, .. } => *of = entry(about),
    }
    along
}

/// Everything that a cluster keeps, each key a line, and what an answer says. Whatever comes from the clock or from a
/// lineage is told by its kind alone.
const DUMP: &str = r"
local lines = {}
for _, key in ipairs(redis.call('KEYS', 'coherd:{' .. ARGV[1] .. '}:*')) do
  local kind = redis.call('TYPE', key).ok
  local held = {}
  if kind == 'hash' then
    for i, part in ipairs(redis.call('HGETALL', key)) do
      held[#held + 1] = part
    end
    local pairs_of = {}
    for i = 1, #held, 2 do
      pairs_of[#pairs_of + 1] = held[i] .. '=' .. held[i + 1]
    end
    table.sort(pairs_of)
    held = pairs_of
  elseif kind == 'stream' then
    for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
      held[#held + 1] = entry[1] .. '>' .. table.concat(entry[2], ',')
    end
  elseif kind == 'zset' then
    held = redis.call('ZRANGE', key, '0', '-1')
  else
    held = {redis.call('GET', key)}
  end
  local kept = 0 < redis.call('PTTL', key) and ' kept' or ''
  lines[#lines + 1] = string.gsub(key, '{.-}', '{}') .. ' ' .. kind .. kept .. ' ' .. table.concat(held, ' ')
end
table.sort(lines)
return lines
";

/// Words that a clock or a lineage has made are told by their kind, numbers of events by their distance from the first.
fn plain(text: &str, start: Seq) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    // `us` is what a clock says below its milliseconds.
    let text = text.replace(",us,", ",us ");
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let number = word.parse::<u64>().ok();
        let hex = word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
        match number {
            Some(number) if start <= number && number < start + 1_000 => {
                write!(plain, "#{}", number - start).unwrap();
            }
            // a nonce may be all digits, and begin with zeros
            Some(number) if !hex && 1_000_000_000_000 < number && number < 100_000_000_000_000 => {
                plain.push('T');
            }
            Some(_) if plain.ends_with("us ") => plain.push('U'),
            // the second half of a stream's id
            Some(_) if plain.ends_with("T-") => plain.push('I'),
            _ if hex || 39 < word.len() => plain.push('N'),
            _ => plain += &word,
        }
        word.clear();
        plain.push(c);
    }
    plain
}

pub(super) struct Side {
    name: &'static str,
    pub(super) backend: Arc<Valkey>,
    _task: AbortOnDropHandle<()>,
}

impl Side {
    pub(super) async fn start(server: &Server, name: &'static str) -> Self {
        let (backend, task) = connected(Settings { cluster: name.to_owned(), ..settings(server) }).await;
        Self { name, backend, _task: task }
    }

    /// All of them in one step.
    pub(super) async fn together(
        &self,
        publications: &[Publication],
    ) -> Vec<Result<Published, BackendError>> {
        let generation = self.backend.primary.connected().unwrap();
        step(&self.backend.context, generation.data(), S0, publications.iter()).await.unwrap()
    }

    pub(super) async fn held(&self, server: &Server, start: Seq) -> Vec<String> {
        let held = server.admin("EVAL", &[DUMP, "0", self.name]).await;
        let text = |line: Value| String::from_utf8_lossy(line.as_bytes().expect("a line")).into_owned();
        held.into_array().into_iter().map(|line| plain(&text(line), start)).collect()
    }
}

fn told(answers: &[Result<Published, BackendError>], start: Seq) -> Vec<String> {
    let one = |answer: &Result<Published, BackendError>| match answer {
        Ok(it) => format!("{} {} {} {}", it.token.seq - start, it.repeated, it.deferred, it.stored),
        Err(error) => error.to_string(),
    };
    answers.iter().map(one).collect()
}

#[tokio::test]
async fn in_one_step_they_do_what_they_do_one_after_the_other() {
    let server = Server::start().await;
    let (one, all) = (Side::start(&server, "one").await, Side::start(&server, "all").await);
    let mut runner = TestRunner::deterministic();
    let histories = (
        proptest::collection::vec(any_publication(), 0..BEFORE_MAX),
        proptest::collection::vec(any_publication(), 1..TOGETHER_MAX),
    );
    let mut full = 0;
    for _ in 0..HISTORIES {
        let (before, together) = histories.new_tree(&mut runner).unwrap().current();
        server.admin("FLUSHALL", &[]).await;
        let mut starts = Vec::new();
        for side in [&one, &all] {
            // The first event begins a lineage.
            starts.push(
                side.together(&[publication(vec![key_target("0")])]).await[0].as_ref().unwrap().token.seq - 1,
            );
            for publication in &before {
                side.together(std::slice::from_ref(publication)).await;
            }
        }
        let mut by_turns = Vec::new();
        for publication in &together {
            by_turns.extend(one.together(std::slice::from_ref(publication)).await);
        }
        let at_once = all.together(&together).await;
        let what = format!("{before:#?}\nthen {together:#?}");
        assert_eq!(told(&at_once, starts[1]), told(&by_turns, starts[0]), "{what}");
        assert_eq!(all.held(&server, starts[1]).await, one.held(&server, starts[0]).await, "{what}");
        full += at_once.iter().filter(|answer| matches!(answer, Err(BackendError::Full(_)))).count();
    }
    assert!(0 < full, "no queue was full in any history");
}

#[tokio::test]
async fn each_of_many_that_come_together_has_its_own_answer() {
    const MANY: usize = 300;
    let it = Fixture::start().await;
    let start = it.beat("i", 0, 1).await.token.seq;
    let names: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    let publishing = names.iter().map(|name| it.backend.publish(S0, publication(vec![key_target(name)])));
    let seqs: Vec<Seq> = join_all(publishing).await.into_iter().map(|it| it.unwrap().token.seq).collect();
    assert!(seqs.is_sorted(), "they are logged in the order in which they came: {seqs:?}");
    let log = it.backend.read_log(S0, start, 2 * MANY).await.unwrap();
    assert_eq!(log.len(), MANY);
    for (name, seq) in names.iter().zip(seqs) {
        let logged = log.iter().find(|logged| logged.seq == seq).expect("it is in the log");
        assert_eq!(logged.event.targets, [key_target(name)]);
    }
    let calls = it.admin("INFO", &["commandstats"]).await.into_string().unwrap();
    let calls =
        calls.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).expect("scripts ran");
    let calls: usize = calls.split(',').next().unwrap().parse().unwrap();
    assert!(calls < MANY / 4, "{calls} steps for {MANY} publications");
}

#[tokio::test]
async fn who_goes_away_takes_no_other_along() {
    let it = Fixture::start().await;
    let start = it.beat("i", 0, 1).await.token.seq;
    it.admin("CLIENT", &["PAUSE", "60000", "WRITE"]).await;
    let publish = |name: String| {
        let backend = Arc::clone(&it.backend);
        async move { backend.publish(S0, publication(vec![key_target(&name)])).await }
    };
    // A step that is on its way: what comes now waits for it.
    let mut first = Box::pin(publish("first".to_owned()));
    timeout(Duration::from_millis(50), &mut first).await.expect_err("the server answers nobody");
    let leaving = join_all((0..20).map(|number| publish(format!("leaves {number}"))));
    let staying = join_all((0..20).map(|number| publish(format!("stays {number}"))));
    // Both have asked; those who leave do so before the server answers anybody.
    let leaving = async {
        timeout(Duration::from_millis(50), leaving).await.expect_err("the server answers nobody");
        it.admin("CLIENT", &["UNPAUSE"]).await;
    };
    let ((), stayed, first) = tokio::join!(leaving, staying, first);
    first.unwrap();
    assert!(stayed.iter().all(Result::is_ok), "{stayed:?}");
    let log = it.backend.read_log(S0, start, 100).await.unwrap();
    let of = |word: &str| {
        let named = |target: &Target| matches!(target, Target::Key(_, key) if key.starts_with(word));
        log.iter().filter(|logged| logged.event.targets.iter().any(named)).count()
    };
    assert_eq!(of("stays"), 20);
    assert_eq!(of("leaves"), 0, "they had not been sent, and are not sent any more");
}

#[tokio::test]
async fn a_server_without_memory_refuses_each_of_them() {
    let it = Fixture::on(Server::start_with(&["--maxmemory-policy", "noeviction"]).await, |_| {}).await;
    it.beat("i", 0, 1).await;
    it.admin("CONFIG", &["SET", "maxmemory", "1"]).await;
    let publishing = (0..20).map(|number| {
        let publication = publication(vec![key_target(&number.to_string())]);
        it.backend.publish(S0, publication)
    });
    for answer in join_all(publishing).await {
        assert!(matches!(&answer, Err(BackendError::Refused(why)) if why.starts_with("OOM")), "{answer:?}");
    }
}
