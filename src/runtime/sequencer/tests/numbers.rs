//! Sources of numbers.

use super::*;

/// `rows` rows (i, i * 17 % 40 + i), in reads of `chunk`; each row advances the offset by 2. Ends only where `ends` says so.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    pub(super) rows: u64,
    pub(super) chunk: u64,
    pub(super) group: Option<&'static str>,
    pub(super) ends: bool,
    pub(super) replayable: bool,
    /// Rows that are there by now, when it does not end.
    pub(super) there: Arc<AtomicU64>,
}

impl Numbers {
    pub(super) fn new(rows: u64, chunk: u64) -> Self {
        Self { rows, chunk, group: None, ends: true, replayable: true, there: Arc::new(AtomicU64::new(rows)) }
    }
}

impl Connector for Numbers {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn replayable(&self) -> bool {
        self.replayable
    }

    fn bounded(&self) -> bool {
        self.ends
    }

    fn group(&self) -> Option<String> {
        self.group.map(str::to_owned)
    }

    fn open(&self, _: u32, offset: u64) -> Result<Box<dyn Reader>> {
        Ok(Box::new(NumbersReader { numbers: self.clone(), next: offset / 2 }))
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(format!("{} rows", self.rows))
    }
}

struct NumbersReader {
    numbers: Numbers,
    next: u64,
}

impl Reader for NumbersReader {
    fn read(&mut self, wait: Duration) -> Result<Read> {
        let there = self.numbers.there.load(Ordering::Acquire);
        if self.next < there {
            let end = there.min(self.next + self.numbers.chunk);
            let rows = numbers(self.next, end);
            self.next = end;
            return Ok(Read::Rows { rows: batch(&rows), bad: vec![], next_offset: end * 2 });
        }
        if self.numbers.ends {
            return Ok(Read::End);
        }
        std::thread::park_timeout(wait);
        Ok(Read::Waiting)
    }
}

pub(super) fn numbers(from: u64, to: u64) -> Vec<(i64, i64)> {
    (from as i64..to as i64).map(|i| (i, i * 17 % 40 + i)).collect()
}

pub(super) type Pairs = Vec<(i64, i64)>;

/// The rows of `numbers` that are not late, and those that are.
pub(super) fn judged(to: u64) -> (Pairs, Pairs) {
    let mut w = i64::MIN;
    numbers(0, to).into_iter().partition(|(_, v)| {
        let good = *v >= w;
        w = w.max(v - 10);
        good
    })
}

pub(super) fn source(id: ObjectId, connector: Numbers) -> SourceSpec {
    let ddl = vec![b's', id.0 as u8, connector.rows as u8, u8::from(connector.group.is_some())];
    SourceSpec {
        id,
        name: format!("s{id}"),
        schema: schema(),
        watermark: watermark(),
        connector: Arc::new(connector),
        archive: None,
        ddl,
    }
}

/// Two partitions of numbers.
#[derive(Debug, Clone)]
pub(super) struct Two([Numbers; 2]);

impl Connector for Two {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn partitions(&self) -> u32 {
        2
    }

    fn replayable(&self) -> bool {
        true
    }

    fn bounded(&self) -> bool {
        false
    }

    fn open(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>> {
        self.0[partition as usize].open(0, offset)
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(String::new())
    }
}

pub(super) fn two(there: [u64; 2]) -> (SourceSpec, [Arc<AtomicU64>; 2]) {
    let numbers = there.map(|rows| Numbers { ends: false, ..Numbers::new(rows, 7) });
    let there = [Arc::clone(&numbers[0].there), Arc::clone(&numbers[1].there)];
    let connector = Arc::new(Two(numbers));
    (SourceSpec { connector, ddl: vec![b'2'], ..source(S, Numbers::new(0, 7)) }, there)
}
