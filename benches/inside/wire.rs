//! The envelope of an L2 entry, out and in.

use std::hint::black_box;
use std::time::Duration;

use coherd::backend::wire::{Compression, Envelope, decode, encode};
use coherd::model::{Content, Lifetime, Value, etag_of};
use criterion::{BenchmarkId, Criterion, Throughput};

const BYTES: [usize; 3] = [100, 1_024, 65_536];

fn of(bytes: usize) -> Envelope {
    // Text that zstd has something to do with.
    let body: Vec<u8> = (0..bytes).map(|at| b"{\"id\": 7, \"name\": \"Ann\"} "[(at * at / 7) % 25]).collect();
    Envelope {
        content: Content::Present(Value {
            etag: Some(etag_of(&body)),
            body: body.into(),
            content_type: Some("application/json".into()),
            last_modified: None,
        }),
        lifetime: Lifetime { fresh: Duration::from_mins(1), ..Lifetime::default() },
        loaded_at_ms: 1_790_000_000_000,
        age: Duration::ZERO,
        loader: "inst-1".to_owned(),
        load_time: Duration::from_millis(3),
        unseen: None,
    }
}

pub(crate) fn envelope(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope");
    for bytes in BYTES {
        let envelope = of(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, compression) in
            [("plain", Compression::None), ("zstd", Compression::Zstd { level: 3, min_size: 1 })]
        {
            group.bench_function(BenchmarkId::new(format!("encode {name}"), bytes), |bencher| {
                bencher.iter(|| encode(black_box(&envelope), &compression));
            });
            let encoded = encode(&envelope, &compression);
            group.bench_function(BenchmarkId::new(format!("decode {name}"), bytes), |bencher| {
                bencher.iter(|| decode(black_box(&encoded), bytes).expect("it was just encoded"));
            });
        }
    }
    group.finish();
}
