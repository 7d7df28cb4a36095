//! What an answer from L1 takes of the heap: counted, for a count does not depend on the machine.

use coherd::http::Tokens;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::door::Door;

/// Allocations of an answer: its key and namespace, five headers.
const EACH_MAX: u64 = 7;
/// Answers that are counted together.
const ANSWERS: u64 = 100;
/// How often: now and then a task of the instance's own comes between.
const ROUNDS: usize = 30;

const REQUEST: &[u8] = b"GET /v1/cache/users/1 HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n";

/// Asks and reads, and allocates nothing itself.
async fn ask(stream: &mut TcpStream, times: u64) {
    let mut answer = [0; 4096];
    for _ in 0..times {
        stream.write_all(REQUEST).await.expect("the door is open");
        let mut read = 0;
        while !answer[..read].ends_with(b"{\"load\":1}") {
            let more = stream.read(&mut answer[read..]).await.expect("the door is open");
            assert!(0 < more, "the door was closed");
            read += more;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
}

#[test]
fn an_answer_from_l1_takes_few_allocations() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let door = runtime.block_on(Door::open(Tokens::default()));
    let mut stream = runtime.block_on(TcpStream::connect(door.data)).unwrap();
    runtime.block_on(ask(&mut stream, ANSWERS));
    let counted = (0..ROUNDS)
        .map(|_| allocation_counter::measure(|| runtime.block_on(ask(&mut stream, ANSWERS))).count_total);
    let least = counted.min().unwrap();
    assert!(least / ANSWERS <= EACH_MAX, "{least} allocations for {ANSWERS} answers");
}
