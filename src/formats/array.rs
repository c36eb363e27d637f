//! A JSON array -> its elements as records, as its bytes come.

use super::Records;
use super::records::RECORD_BYTES_MAX;
use crate::error::{Error, Result, SqlState};

/// Cuts a JSON array, or one object alone, into objects. What is inside of them is the decoder's to judge.
#[derive(Debug)]
pub struct ArrayCutter {
    at: At,
    /// The element that is being read.
    element: Vec<u8>,
    /// Open braces and brackets in it.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The line on which it starts.
    start: u64,
    line: u64,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    FirstElement,
    Element,
    /// Inside of an element; whether the array goes on behind it.
    Inside(bool),
    Comma,
    Done,
}

impl Default for ArrayCutter {
    fn default() -> Self {
        Self { at: At::Start, element: Vec::new(), depth: 0, in_string: false, escaped: false, start: 1, line: 1 }
    }
}

impl ArrayCutter {
    /// More bytes; whole elements go to `records`.
    ///
    /// Errors: `22P02` when it is not an array of objects; `54000` an element that is too long.
    pub fn push(&mut self, bytes: &[u8], records: &mut Records) -> Result<()> {
        for byte in bytes {
            if let At::Inside(more) = self.at {
                self.inside(*byte, more, records)?;
            } else {
                self.between(*byte)?;
            }
            self.line += u64::from(*byte == b'\n');
        }
        Ok(())
    }

    /// No more bytes come. Errors: `22P02` when something is missing.
    pub fn end(&self) -> Result<()> {
        match self.at {
            At::Done => Ok(()),
            At::Start => Err(self.error("the input is empty")),
            At::FirstElement | At::Element | At::Inside(_) | At::Comma => Err(self.error("the input ends too early")),
        }
    }

    /// The line that is read, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    fn inside(&mut self, byte: u8, more: bool, records: &mut Records) -> Result<()> {
        self.element.push(byte);
        if self.element.len() > RECORD_BYTES_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the JSON object is too long: a record has at most 4 MiB",
            ));
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => self.depth -= 1,
            _ => {}
        }
        if self.depth == 0 {
            records.push(&self.element, self.start);
            self.element.clear();
            self.at = if more { At::Comma } else { At::Done };
        }
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<()> {
        self.at = match (self.at, byte) {
            (at, b' ' | b'\t' | b'\n' | b'\r') => at,
            (At::Start, b'[') => At::FirstElement,
            (At::FirstElement | At::Comma, b']') => At::Done,
            (At::Comma, b',') => At::Element,
            (at @ (At::Start | At::FirstElement | At::Element), b'{') => {
                self.element.push(byte);
                (self.depth, self.start) = (1, self.line);
                At::Inside(at != At::Start)
            }
            (At::FirstElement | At::Element, _) => {
                return Err(self.error("the array holds something else than objects"));
            }
            (At::Start, _) => return Err(self.error("the input is neither an array nor an object")),
            (At::Comma, _) => return Err(self.error("a comma or the array's end is missing")),
            (At::Done, _) => return Err(self.error("there is more behind the end")),
            (At::Inside(_), _) => return Err(Error::internal("an element is between elements")),
        };
        Ok(())
    }

    fn error(&self, why: &str) -> Error {
        let message = format!("invalid input syntax for type json: {why}");
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, piece: usize) -> Result<Vec<(u64, String)>> {
        let mut cutter = ArrayCutter::default();
        let mut records = Records::default();
        for bytes in text.as_bytes().chunks(piece) {
            cutter.push(bytes, &mut records)?;
        }
        cutter.end()?;
        let text = |at| String::from_utf8_lossy(records.get(at)).into_owned();
        Ok((0..records.len()).map(|at| (records.line(at), text(at))).collect())
    }

    #[test]
    fn elements_are_cut_wherever_the_bytes_end() {
        let text = "\n[ {\"a\": \"]}\\\"\"},\n  {\"b\": [1, {\"c\": 2}]}\n]\n";
        let expected = [(2, "{\"a\": \"]}\\\"\"}".to_owned()), (3, "{\"b\": [1, {\"c\": 2}]}".to_owned())];
        for piece in [1, 7, 100] {
            assert_eq!(cut(text, piece).unwrap(), expected);
        }
        assert_eq!(cut("{\"a\": 1}", 3).unwrap(), [(1, "{\"a\": 1}".to_owned())]);
        assert_eq!(cut("[]", 1).unwrap(), []);
    }

    #[test]
    fn what_is_no_array_of_objects_is_refused() {
        for bad in ["", "[", "[{}", "[{},]", "[{} {}]", "[1]", "1", "{} {}", "[{}] x", "[{\"a]"] {
            assert_eq!(cut(bad, 2).unwrap_err().code(), SqlState::INVALID_TEXT_REPRESENTATION, "{bad}");
        }
    }
}
