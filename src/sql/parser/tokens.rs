//! Text -> tokens, with PostgreSQL's errors: what is no token, what nests too deeply; `TABLE t` as the query it is.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word};

use super::cursor::{DEPTH_MAX, DIALECT, Source};
use crate::error::{Error, Result, SqlState};

/// Operators that may follow one another without parentheses or commas: each makes the tree one level deeper.
const CHAIN_MAX: usize = 500;

const CHAINING: [&str; 7] = ["and", "or", "union", "intersect", "except", "join", "is"];

/// Refuses what would make a tree too deep to walk. Errors: 54001.
pub(super) fn check_depth(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chains = vec![0usize];
    let (mut negations, mut open) = (0, 0);
    for token in tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))) {
        // The parser words its own limit as a syntax error for these.
        let is = |word: &str| matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
        negations = if is("not") { negations + 1 } else { 0 };
        if is("case") || token.token == Token::LBracket {
            open += 1;
        } else if is("end") || token.token == Token::RBracket {
            open = usize::saturating_sub(open, 1);
        }
        if negations >= DEPTH_MAX / 2 || open >= DEPTH_MAX / 2 {
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                .with_hint(format!("Expressions and subqueries nest up to about {DEPTH_MAX} levels.")));
        }
        let operator = match &token.token {
            Token::LParen => {
                chains.push(0);
                false
            }
            Token::RParen => {
                chains.pop();
                false
            }
            Token::Comma => {
                chains.pop();
                chains.push(0);
                false
            }
            Token::Word(w) => CHAINING.iter().any(|c| w.value.eq_ignore_ascii_case(c)),
            Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
            Token::DoubleColon => true,
            _ => false,
        };
        if operator && let Some(chain) = chains.last_mut() {
            *chain += 1;
            if *chain > CHAIN_MAX {
                return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded").with_hint(
                    format!("At most {CHAIN_MAX} operators may follow one another; use IN (..) or VALUES."),
                ));
            }
        }
    }
    Ok(())
}

/// The tokens of a text, white space included.
pub(super) fn tokenize(source: &Source<'_>) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&DIALECT, source.text()).tokenize_with_location();
    let tokens = tokens.map_err(|error| broken(source, &error.message, source.offset(error.location)))?;
    let mut tokens: Vec<TokenWithSpan> = tokens.into_iter().flat_map(without_sign).collect();
    tokens.dedup_by(|sign, power| keeps_sign(power, sign));
    precise_intervals(&mut tokens);
    name_stars(&mut tokens);
    for (n, token) in tokens.iter().enumerate() {
        check(source, token, tokens.get(n + 1))?;
    }
    Ok(tokens)
}

/// An operator made of these ends before a sign: `j->-1` is `j -> -1`.
const SIGNED: &str = "*/<>=";

/// Takes a sign off the end of an operator, as PostgreSQL does where the operator has none of `~ ! @ # % ^ & | ? \``.
fn without_sign(token: TokenWithSpan) -> Vec<TokenWithSpan> {
    let Token::CustomBinaryOperator(text) = &token.token else { return vec![token] };
    if text.bytes().all(|byte| byte == b'>') {
        return closing(token.span, text.len());
    }
    let Some(sign) = text.chars().last().filter(|c| "+-".contains(*c)) else { return vec![token] };
    let base = &text[..text.len() - 1];
    if !base.chars().all(|c| SIGNED.contains(c) || c == '-') {
        return vec![token];
    }
    let Ok(parts) = Tokenizer::new(&DIALECT, base).tokenize() else { return vec![token] };
    let [part] = &parts[..] else { return vec![token] };
    let sign = if sign == '-' { Token::Minus } else { Token::Plus };
    let mut at = token.span;
    at.start.column = at.end.column.saturating_sub(1).max(at.start.column);
    vec![TokenWithSpan { token: part.clone(), span: token.span }, TokenWithSpan { token: sign, span: at }]
}

/// `^-` is an operator of its own, that nobody has: the sign goes into the token before.
fn keeps_sign(power: &mut TokenWithSpan, sign: &TokenWithSpan) -> bool {
    let text = match (&power.token, &sign.token) {
        (Token::Caret, Token::Minus) => "^-",
        (Token::Caret, Token::Plus) => "^+",
        _ => return false,
    };
    power.token = Token::CustomBinaryOperator(text.to_owned());
    power.span.end = sign.span.end;
    true
}

/// `interval(2) '1.234'`, whose digits the parser would forget, becomes `interval '1.234' second(2)`.
fn precise_intervals(tokens: &mut Vec<TokenWithSpan>) {
    let interval =
        |t: &Token| matches!(t, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("interval"));
    let mut at = 0;
    while let Some(found) = tokens.iter().skip(at).position(|t| interval(&t.token)) {
        at += found + 1;
        let rest = tokens.iter().enumerate().skip(at).filter(|(_, t)| !matches!(t.token, Token::Whitespace(_)));
        let next: Vec<(usize, &Token)> = rest.take(4).map(|(n, t)| (n, &t.token)).collect();
        let [
            (open, Token::LParen),
            (_, Token::Number(..)),
            (close, Token::RParen),
            (text, Token::SingleQuotedString(_)),
        ] = next[..]
        else {
            continue;
        };
        let second = TokenWithSpan { token: Token::make_word("second", None), span: tokens[text].span };
        tokens.insert(text + 1, second);
        // Where a statement ends is told by its last token's place.
        let span = tokens[text].span;
        let digits: Vec<TokenWithSpan> = tokens.drain(open..=close).map(|t| TokenWithSpan { span, ..t }).collect();
        let behind = text + 2 - digits.len();
        tokens.splice(behind..behind, digits);
    }
}

/// What stands for the star of `(record).*`, which sqlparser takes for no expression.
pub(in crate::sql) const STAR: &str = "*";

fn name_stars(tokens: &mut [TokenWithSpan]) {
    for at in 2..tokens.len() {
        if let [Token::RParen, Token::Period, Token::Mul] = [at - 2, at - 1, at].map(|at| &tokens[at].token) {
            tokens[at].token = Token::make_word(STAR, Some('"'));
        }
    }
}

/// `>>>`, which is no operator, but ends a STRUCT in a STRUCT in a STRUCT.
fn closing(span: Span, count: usize) -> Vec<TokenWithSpan> {
    let two = (0..count / 2).map(|_| Token::ShiftRight);
    two.chain((count % 2 == 1).then_some(Token::Gt)).map(|token| TokenWithSpan { token, span }).collect()
}

/// Tokens that sqlparser takes and PostgreSQL does not.
fn check(source: &Source<'_>, token: &TokenWithSpan, next: Option<&TokenWithSpan>) -> Result<()> {
    let start = source.offset(token.span.start);
    match (&token.token, next) {
        (Token::Word(Word { value, quote_style: Some('"'), .. }), _) if value.is_empty() => {
            Err(Error::syntax("zero-length delimited identifier at or near \"\"\"\"", Some(start + 1)))
        }
        (Token::Number(..) | Token::HexStringLiteral(_), Some(next)) if matches!(&next.token, Token::Word(w) if w.quote_style.is_none()) =>
        {
            let text = source.slice(start, source.offset(next.span.end));
            Err(Error::syntax(format!("trailing junk after numeric literal at or near \"{text}\""), Some(start + 1)))
        }
        _ => Ok(()),
    }
}

/// What sqlparser could make no token of, at a character offset.
fn broken(source: &Source<'_>, message: &str, at: usize) -> Error {
    let message = message.to_ascii_lowercase();
    let whole = source.slice(0, usize::MAX);
    let characters = |byte: usize| whole.get(..byte).map_or(0, |t| t.chars().count());
    let near = |what: &str, start: usize| {
        Error::syntax(format!("{what} at or near \"{}\"", source.slice(start, usize::MAX)), Some(start + 1))
    };
    if message.contains("multi-line comment") {
        return near("unterminated /* comment", whole.rfind("/*").map_or(at, characters));
    }
    if message.contains("unterminated") && message.contains("dollar") {
        let dollar = whole.rfind("$$").or_else(|| whole.rfind('$')).map_or(at, characters);
        return near("unterminated dollar-quoted string", dollar);
    }
    let rest = source.slice(at, usize::MAX);
    if rest.starts_with(['e', 'E']) && rest.matches('\'').count() > 1 && rest.contains("\\u") {
        let hint = "Unicode escapes must be \\uXXXX or \\UXXXXXXXX.";
        return Error::new(SqlState("22025"), "invalid Unicode escape").with_hint(hint).with_position(at + 1);
    }
    if message.contains("unicode") {
        let hint = "Unicode escapes must be \\XXXX or \\+XXXXXX.";
        return Error::syntax("invalid Unicode escape", Some(at + 1)).with_hint(hint);
    }
    if message.contains("unterminated") || message.contains("string literal") {
        return near("unterminated quoted string", at);
    }
    if message.contains("close delimiter") {
        return near("unterminated quoted identifier", at);
    }
    let first = rest.split_whitespace().next().unwrap_or_default();
    Error::syntax(format!("syntax error at or near \"{first}\""), Some(at + 1))
}

/// `TABLE t` where a query may stand becomes `SELECT * FROM t`.
pub(super) fn table_queries(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let significant: Vec<usize> =
        tokens.iter().enumerate().filter(|(_, t)| !matches!(t.token, Token::Whitespace(_))).map(|(n, _)| n).collect();
    let is = |at: Option<&usize>, word: &str| {
        at.and_then(|n| tokens.get(*n)).is_some_and(
            |t| matches!(&t.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word)),
        )
    };
    let token = |at: Option<&usize>| at.and_then(|n| tokens.get(*n)).map(|t| &t.token);
    let insert = is(significant.first(), "insert");
    let mut found = Vec::new();
    for (n, &index) in significant.iter().enumerate() {
        let named = matches!(token(significant.get(n + 1)), Some(Token::Word(_)));
        if !is(Some(&index), "table") || !named {
            continue;
        }
        let before = n.checked_sub(1).and_then(|n| significant.get(n));
        // `(TABLE t)`, but not the argument of a window: `TUMBLE(TABLE t, ..)`.
        let behind = if matches!(token(significant.get(n + 2)), Some(Token::Period)) { n + 4 } else { n + 2 };
        let alone = matches!(token(significant.get(behind)), Some(Token::RParen) | None);
        let starts = before.is_none()
            || ["union", "intersect", "except", "all", "distinct", "as", "for", "explain", "analyze", "verbose"]
                .iter()
                .any(|word| is(before, word))
            || (insert && matches!(token(before), Some(Token::Word(_) | Token::RParen)))
            || (alone && matches!(token(before), Some(Token::LParen)));
        if starts {
            found.push(index);
        }
    }
    let mut out = Vec::with_capacity(tokens.len());
    for (n, old) in tokens.into_iter().enumerate() {
        if found.binary_search(&n).is_err() {
            out.push(old);
            continue;
        }
        let word = |text: &str| Token::make_word(text, None);
        for token in [word("SELECT"), Token::Mul, word("FROM")] {
            out.push(TokenWithSpan { token, span: old.span });
        }
    }
    out
}

/// What may follow AS OF, where `of` can be no alias: an epoch, and what somebody may take for one.
fn follows_as_of(token: &Token) -> bool {
    match token {
        Token::Number(..) | Token::Placeholder(_) | Token::SingleQuotedString(_) => true,
        Token::Word(word) if word.quote_style.is_none() => {
            let times = ["timestamp", "timestamptz", "date", "now", "at", "system", "current_timestamp"];
            times.iter().any(|time| word.value.eq_ignore_ascii_case(time))
        }
        _ => false,
    }
}

/// Where `AS OF 5` stands, as indexes of AS.
fn places_of_as_of(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    let significant: Vec<usize> =
        (0..tokens.len()).filter(|n| !matches!(tokens[*n].token, Token::Whitespace(_))).collect();
    let found = significant.windows(3).filter(|three| {
        let [first, second, third] = [0, 1, 2].map(|n| &tokens[three[n]].token);
        is(first, "as") && is(second, "of") && follows_as_of(third)
    });
    found.map(|three| three[0]).collect()
}

/// The AS of `AS OF 5` is no keyword any more: for sqlparser `of` would be an alias.
pub(super) fn as_of(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for at in places_of_as_of(&tokens) {
        if let Token::Word(word) = &mut tokens[at].token {
            word.keyword = Keyword::NoKeyword;
        }
    }
    tokens
}

/// `AS OF 5` in parentheses, those of COPY apart: in a part of a query.
pub(super) fn inner_as_of(source: &Source<'_>) -> Option<Error> {
    let tokens = source.tokenize().ok()?;
    let copies = tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_)));
    let outer = copies.is_some_and(|t| matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case("copy")));
    let inner = places_of_as_of(&tokens).into_iter().find(|at| {
        let count = |token: &Token| tokens[..*at].iter().filter(|t| t.token == *token).count();
        count(&Token::LParen) > count(&Token::RParen) + usize::from(outer)
    })?;
    let hint = "Put it at the end of the statement: it holds for all that the query reads.";
    let error = Error::unsupported("AS OF in a part of a query", hint);
    Some(error.with_position(source.offset(tokens[inner].span.start) + 1))
}

/// A text that is no query because a window's table has PARTITION BY, as in Flink.
pub(super) fn partitioned_window(source: &Source<'_>) -> Option<Error> {
    let tokens = source.tokenize().ok()?;
    let tokens: Vec<_> = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let word = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
        _ => String::new(),
    };
    let opens = |at: usize| matches!(tokens.get(at).map(|t| &t.token), Some(Token::LParen));
    for at in (0..tokens.len()).filter(|at| opens(at + 1)) {
        let window = word(at);
        if !["tumble", "hop", "cumulate", "session"].contains(&window.as_str()) {
            continue;
        }
        // `TABLE t`, perhaps behind `DATA =>`.
        let Some(table) = (at + 2..at + 5).find(|at| word(*at) == "table") else { continue };
        if (table + 2..table + 5).any(|at| word(at) == "partition" && word(at + 1) == "by") {
            let (what, hint) = match window.as_str() {
                "tumble" | "hop" => {
                    (format!("{} with PARTITION BY", window.to_uppercase()), "Leave it out, and GROUP BY the column.")
                }
                other => (other.to_uppercase(), "Use TUMBLE or HOP."),
            };
            return Some(Error::unsupported(what, hint).with_position(source.offset(tokens[at].span.start) + 1));
        }
    }
    None
}
