//! Frames of HTTP/2, byte by byte: what no client library would send.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::connect;
use crate::harness::instance::Instance;

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A request's header block.
pub(super) fn request(method: &str, path: &str) -> Vec<u8> {
    // `:scheme http` from the static table, the others as literals that no table keeps.
    let mut block = vec![0x86];
    for (index, text) in [(0x02, method), (0x04, path), (0x01, "h")] {
        block.extend([index, u8::try_from(text.len()).expect("it is short")]);
        block.extend_from_slice(text.as_bytes());
    }
    block
}

/// A header that no table keeps, with a value of so many bytes.
pub(super) fn header(value: usize) -> Vec<u8> {
    let mut block = vec![0x00, 1, b'x', 0x7F];
    // An integer with a prefix of seven bits.
    let mut rest = value - 0x7F;
    while 0x80 <= rest {
        block.push(u8::try_from(rest & 0x7F).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    block.push(u8::try_from(rest).expect("seven bits"));
    block.extend(std::iter::repeat_n(b'v', value));
    block
}

/// A connection that has said hello, with these settings.
pub(super) async fn hello(instance: &Instance, settings: &[(u16, u32)]) -> TcpStream {
    let mut stream = connect(instance).await;
    let pairs =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    let begin =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>())];
    stream.write_all(&begin.concat()).await.expect("it is sent");
    stream
}
