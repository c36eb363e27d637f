//! The three streams' columns, and their values for given events.
//!
//! Of 50 events the first is a person, the next three are auctions, the others bids. Half of the bids are for the hot
//! auction (the first of the last hundred), the others for one of the last hundred; sellers and bidders are drawn
//! likewise, from people who are there already: a join finds every auction before its bids.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field};

use super::House;
use super::draw::Draw;
use crate::data::types;

/// Events of one round: 1 person, 3 auctions, 46 bids.
const ROUND: u64 = 50;
const AUCTIONS: u64 = 3;
/// Ids start here.
const FIRST_ID: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// The first of so many is the hot one.
const HOT: u64 = 100;
/// People who may sell and bid.
const ACTIVE_PEOPLE: u64 = 1000;
const CHANNELS: u64 = 10_000;
/// Event time without `rate`: events a second.
const RATE_DEFAULT: u64 = 10_000;
/// Letters that `extra` columns are cut from.
const LETTERS: usize = 1 << 16;

const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CITIES: [&str; 10] =
    ["phoenix", "los angeles", "san francisco", "boise", "portland", "bend", "redmond", "seattle", "kent", "cheyenne"];
const STATES: [&str; 6] = ["az", "ca", "id", "or", "wa", "wy"];
const FIRST_NAMES: [&str; 8] = ["ada", "barbara", "edgar", "grace", "jim", "leslie", "michael", "pat"];
const LAST_NAMES: [&str; 8] = ["codd", "gray", "hopper", "lamport", "liskov", "lovelace", "selinger", "stonebraker"];

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Person,
    Auction,
    Bid,
}

impl Stream {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        [Self::Person, Self::Auction, Self::Bid].into_iter().find(|stream| stream.name() == name.to_ascii_lowercase())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Auction => "auction",
            Self::Bid => "bid",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        use Column::{
            Auction, AuctionId, Bidder, Category, Channel, City, CreditCard, DateTime, Description, Email, Expires,
            Extra, InitialBid, ItemName, PersonId, PersonName, Price, Reserve, Seller, State, Url,
        };
        match self {
            Self::Person => &[PersonId, PersonName, Email, CreditCard, City, State, DateTime, Extra(60, 140)],
            Self::Auction => &[
                AuctionId,
                ItemName,
                Description,
                InitialBid,
                Reserve,
                DateTime,
                Expires,
                Seller,
                Category,
                Extra(250, 450),
            ],
            Self::Bid => &[Auction, Bidder, Price, Channel, Url, DateTime, Extra(50, 85)],
        }
    }

    /// Its events among those from `from` until before `to`, ascending.
    pub(super) fn events(self, from: u64, to: u64) -> Vec<u64> {
        let mine = |event: &u64| match (event % ROUND, self) {
            (0, Self::Person) => true,
            (1..=AUCTIONS, Self::Auction) => true,
            (AUCTIONS_END.., Self::Bid) => true,
            (_, Self::Person | Self::Auction | Self::Bid) => false,
        };
        (from..to).filter(mine).collect()
    }
}

const AUCTIONS_END: u64 = AUCTIONS + 1;

/// A column of one of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    PersonId,
    PersonName,
    Email,
    CreditCard,
    City,
    State,
    AuctionId,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    Auction,
    Bidder,
    Price,
    Channel,
    Url,
    DateTime,
    /// Letters that make rows as long as the benchmark's; bytes at least and at most.
    Extra(u64, u64),
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PersonId | Self::AuctionId => "id",
            Self::PersonName => "name",
            Self::Email => "email_address",
            Self::CreditCard => "credit_card",
            Self::City => "city",
            Self::State => "state",
            Self::ItemName => "item_name",
            Self::Description => "description",
            Self::InitialBid => "initial_bid",
            Self::Reserve => "reserve",
            Self::Expires => "expires",
            Self::Seller => "seller",
            Self::Category => "category",
            Self::Auction => "auction",
            Self::Bidder => "bidder",
            Self::Price => "price",
            Self::Channel => "channel",
            Self::Url => "url",
            Self::DateTime => "date_time",
            Self::Extra(..) => "extra",
        }
    }

    pub(super) fn field(self, nullable: bool) -> Field {
        match self {
            Self::PersonId
            | Self::AuctionId
            | Self::InitialBid
            | Self::Reserve
            | Self::Seller
            | Self::Category
            | Self::Auction
            | Self::Bidder
            | Self::Price => Field::new(self.name(), DataType::Int64, nullable),
            Self::DateTime | Self::Expires => Field::new(self.name(), types::timestamp(), nullable),
            Self::PersonName
            | Self::Email
            | Self::CreditCard
            | Self::City
            | Self::State
            | Self::ItemName
            | Self::Description
            | Self::Channel
            | Self::Url
            | Self::Extra(..) => types::varchar(self.name(), None, nullable),
        }
    }
}

/// Makes columns.
#[derive(Debug)]
pub(super) struct Maker {
    house: Arc<House>,
    letters: String,
    /// Name and url of every channel, the hot ones first; empty while nobody asked.
    channels: Vec<(String, String)>,
}

impl Maker {
    /// `columns` are those that will be asked for.
    pub(super) fn new(house: Arc<House>, columns: &[Column]) -> Self {
        let draw = Draw::new(house.seed, 100);
        let letters = (0..LETTERS as u64).map(|at| (b'a' + draw.below(at, 26) as u8) as char).collect();
        let mut maker = Self { house, letters, channels: Vec::new() };
        if columns.iter().any(|column| matches!(column, Column::Channel | Column::Url)) {
            maker.channels = maker.make_channels();
        }
        maker
    }

    /// One column's values for some events.
    pub(super) fn column(&self, column: Column, events: &[u64]) -> ArrayRef {
        match column {
            Column::PersonId => integers(events, |event| FIRST_ID + event / ROUND),
            Column::AuctionId => integers(events, |event| FIRST_ID + last_auction(event)),
            Column::Auction => self.auction(events),
            Column::Seller => self.person(events, 1, 0),
            Column::Bidder => self.person(events, 4, 1),
            Column::Price => self.price(events, 7),
            Column::InitialBid => self.price(events, 8),
            Column::Reserve => self.reserve(events),
            Column::Category => {
                let draw = self.draw(10);
                integers(events, |event| FIRST_CATEGORY + draw.below(event, CATEGORIES))
            }
            Column::DateTime => times(events, |event| self.time(event)),
            Column::Expires => {
                let (draw, length) = (self.draw(11), self.step(2 * HOT / AUCTIONS * ROUND));
                times(events, |event| self.time(event) + 1 + draw.below(event, length.max(1) as u64) as i64)
            }
            Column::PersonName => self.two_words(events, &FIRST_NAMES, " ", &LAST_NAMES),
            Column::City => self.word(events, 14, &CITIES),
            Column::State => self.word(events, 15, &STATES),
            Column::Email => self.email(events),
            Column::CreditCard => self.credit_card(events),
            Column::ItemName => self.random_letters(events, 18, 20, 20),
            Column::Description => self.random_letters(events, 19, 100, 100),
            Column::Extra(least, most) => self.random_letters(events, 20, least, most),
            Column::Channel => self.channel(events, |(name, _)| name),
            Column::Url => self.channel(events, |(_, url)| url),
        }
    }

    fn draw(&self, purpose: u64) -> Draw {
        Draw::new(self.house.seed, purpose)
    }

    /// Event time of an event: its number's, earlier if it is late.
    fn time(&self, event: u64) -> i64 {
        let passed = self.step(event);
        let time = self.house.base_time_micros.saturating_add(passed);
        let share = self.house.late_share;
        // Nothing happened before the first event.
        let most = passed.min(self.house.late_by_micros);
        if share == 0.0 || most <= 0 {
            return time;
        }
        let (late, by) = (self.draw(21), self.draw(22));
        let is_late = (late.bits(event) >> 11) as f64 / (1u64 << 53) as f64 <= share;
        if is_late { time - 1 - by.below(event, most as u64) as i64 } else { time }
    }

    /// Microseconds of event time that so many events take.
    fn step(&self, events: u64) -> i64 {
        let rate = u128::from(self.house.rate.unwrap_or(RATE_DEFAULT));
        i64::try_from(u128::from(events) * 1_000_000 / rate).unwrap_or(i64::MAX)
    }

    fn auction(&self, events: &[u64]) -> ArrayRef {
        let (hot, which) = (self.draw(2), self.draw(3));
        integers(events, |event| {
            let last = last_auction(event);
            let first = last.saturating_sub(HOT);
            FIRST_ID
                + if hot.one_of(event, 2) { first + which.below(event, last - first + 1) } else { last / HOT * HOT }
        })
    }

    /// The hot person three times of four, else an active one. `nth` keeps hot sellers and bidders apart.
    fn person(&self, events: &[u64], purpose: u64, nth: u64) -> ArrayRef {
        let (hot, which) = (self.draw(purpose + 30), self.draw(purpose + 40));
        integers(events, |event| {
            let last = event / ROUND;
            let active = (last + 1).min(ACTIVE_PEOPLE);
            FIRST_ID
                + if hot.one_of(event, 4) {
                    last + 1 - active + which.below(event, active)
                } else {
                    (last / HOT * HOT + nth).min(last)
                }
        })
    }

    fn price(&self, events: &[u64], purpose: u64) -> ArrayRef {
        let (power, value) = (self.draw(purpose), self.draw(purpose + 50));
        integers(events, |event| cents(power, value, event))
    }

    fn reserve(&self, events: &[u64]) -> ArrayRef {
        let (initial, initial_value) = (self.draw(8), self.draw(58));
        let (more, more_value) = (self.draw(9), self.draw(59));
        integers(events, |event| cents(initial, initial_value, event) + cents(more, more_value, event))
    }

    fn word(&self, events: &[u64], purpose: u64, words: &[&str]) -> ArrayRef {
        let draw = self.draw(purpose);
        texts(events, |event, text| text.push_str(words[draw.below(event, words.len() as u64) as usize]))
    }

    fn two_words(&self, events: &[u64], first: &[&str], between: &str, second: &[&str]) -> ArrayRef {
        let (one, two) = (self.draw(12), self.draw(13));
        texts(events, |event, text| {
            text.push_str(first[one.below(event, first.len() as u64) as usize]);
            text.push_str(between);
            text.push_str(second[two.below(event, second.len() as u64) as usize]);
        })
    }

    fn email(&self, events: &[u64]) -> ArrayRef {
        let draw = self.draw(16);
        texts(events, |event, text| {
            let at = draw.below(event, (LETTERS - 16) as u64) as usize;
            text.push_str(&self.letters[at..at + 7]);
            text.push('@');
            text.push_str(&self.letters[at + 7..at + 12]);
            text.push_str(".com");
        })
    }

    fn credit_card(&self, events: &[u64]) -> ArrayRef {
        let draw = self.draw(17);
        texts(events, |event, text| {
            let digits = format!("{:016}", draw.below(event, 10_000_000_000_000_000));
            for (at, four) in [&digits[..4], &digits[4..8], &digits[8..12], &digits[12..]].into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { " " });
                text.push_str(four);
            }
        })
    }

    fn random_letters(&self, events: &[u64], purpose: u64, least: u64, most: u64) -> ArrayRef {
        let (start, length) = (self.draw(purpose), self.draw(purpose + 60));
        let mut texts = StringBuilder::with_capacity(events.len(), events.len() * most as usize);
        for event in events {
            let bytes = (least + length.below(*event, most - least + 1)) as usize;
            let at = start.below(*event, (LETTERS - bytes) as u64) as usize;
            texts.append_value(&self.letters[at..at + bytes]);
        }
        Arc::new(texts.finish())
    }

    fn channel(&self, events: &[u64], part: impl Fn(&(String, String)) -> &String) -> ArrayRef {
        let (hot, which) = (self.draw(5), self.draw(6));
        let hot_ones = HOT_CHANNELS.len() as u64;
        let mut texts = StringBuilder::with_capacity(events.len(), events.len() * 64);
        for event in events {
            let at = if hot.one_of(*event, 2) {
                hot_ones + which.below(*event, CHANNELS)
            } else {
                which.below(*event, hot_ones)
            };
            texts.append_value(part(&self.channels[at as usize]));
        }
        Arc::new(texts.finish())
    }

    fn make_channels(&self) -> Vec<(String, String)> {
        let draw = self.draw(101);
        let url = |channel: u64| {
            let at = draw.below(channel, (LETTERS - 16) as u64) as usize;
            let path = [&self.letters[at..at + 5], &self.letters[at + 5..at + 10], &self.letters[at + 10..at + 15]];
            format!("https://www.nexmark.com/{}/item.htm?query=1", path.join("/"))
        };
        let hot = HOT_CHANNELS.iter().zip(0..).map(|(name, at)| ((*name).to_owned(), url(CHANNELS + at)));
        // One of ten has no id in its url.
        let id =
            |channel: u64| if channel.is_multiple_of(10) { String::new() } else { format!("&channel_id={channel}") };
        let others = (0..CHANNELS).map(|at| (format!("channel-{at}"), url(at) + &id(at)));
        hot.chain(others).collect()
    }
}

/// The last auction there is at an event, from 0.
fn last_auction(event: u64) -> u64 {
    match event % ROUND {
        0 => (event / ROUND * AUCTIONS).saturating_sub(1),
        nth => event / ROUND * AUCTIONS + nth.min(AUCTIONS) - 1,
    }
}

/// From 1 to 10 million, small ones as likely as large ones by order of magnitude; in cents.
fn cents(power: Draw, value: Draw, event: u64) -> u64 {
    let unit = 100 * 10_u64.pow(power.below(event, 6) as u32);
    unit + value.below(event, 9 * unit)
}

fn integers(events: &[u64], value: impl Fn(u64) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(events.iter().map(|event| value(*event) as i64)))
}

fn times(events: &[u64], micros: impl Fn(u64) -> i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| micros(*event))))
}

fn texts(events: &[u64], write: impl Fn(u64, &mut String)) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(events.len(), events.len() * 16);
    let mut text = String::new();
    for event in events {
        text.clear();
        write(*event, &mut text);
        texts.append_value(&text);
    }
    Arc::new(texts.finish())
}
