//! The accounts as `hauld user list` shows them: a table for people, or JSON for programs.

use std::io::{self, Write};

use haul_protocol::{Rights, Shown};
use humansize::{BINARY, format_size};
use serde_json::{Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::accounts::edit::moment;
use crate::accounts::{Account, KnownToken};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Spaces between two columns of the table.
const GAP: usize = 2;

/// A space at which no cell is split.
const TIE: char = '\u{a0}';

const HEAD: [&str; 6] = ["account", "rights", "root", "limits", "ends", "state"];

/// The cells of one account.
#[derive(Debug)]
pub(super) struct Row([String; 6]);

impl Row {
    /// Shows a table of accounts. `now`: seconds since 1970.
    pub(super) fn show(
        accounts: &[Account],
        now: i64,
        out: &mut (impl Write + ?Sized),
    ) -> io::Result<()> {
        let head = Self(HEAD.map(str::to_owned));
        let rows = accounts.iter().map(|account| Self::of(account, now));
        let rows: Vec<Self> = [head].into_iter().chain(rows).collect();
        let widths = widths(&rows);
        rows.iter().try_for_each(|row| row.write(widths, out))
    }

    fn of(account: &Account, now: i64) -> Self {
        let root = account.view.root().map_or_else(|| ".".to_owned(), ToString::to_string);
        Self([
            account.name.to_string(),
            rights(account.rights),
            Shown(root).to_string(),
            limits(account),
            account.expires.map_or_else(|| "never".to_owned(), |end| moment(end).replace('T', " ")),
            state(account, now).to_owned(),
        ])
    }

    fn write(&self, widths: [usize; 6], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
        let cells: Vec<Vec<String>> =
            self.0.iter().zip(widths).map(|(cell, width)| folded(cell, width)).collect();
        for at in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let piece = cell.get(at).map_or("", String::as_str);
                line.push_str(piece);
                line.push_str(&" ".repeat(width.saturating_sub(piece.width()) + GAP));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Shows accounts as one object of JSON a line.
pub(super) fn show_json(
    accounts: &[Account],
    now: i64,
    out: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let end = |end: Option<i64>| end.map(moment);
    let token = |KnownToken { id, created, expires, .. }: &KnownToken| -> Value {
        json!({"id": id, "created": created, "expires": end(*expires)})
    };
    for account in accounts {
        let root = account.view.root().map_or_else(|| ".".to_owned(), ToString::to_string);
        let rights: Vec<_> = account.rights.iter().map(|right| right.as_str()).collect();
        let tokens: Vec<_> = account.tokens.iter().map(token).collect();
        let line = json!({
            "account": account.name.as_str(), "rights": rights, "root": root,
            "quota_bytes": account.quota_bytes, "quota_files": account.quota_files,
            "connections": account.connections, "rate": account.rate,
            "expires": end(account.expires), "state": state(account, now),
            "tokens": tokens, "unix_users": account.unix_users,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The rights in one word if there is one for them.
fn rights(rights: Rights) -> String {
    let presets = [
        (Rights::writer(), "writer"),
        (Rights::mirror(), "mirror"),
        (Rights::reader(), "reader"),
        (Rights::drop_box(), "drop"),
    ];
    let preset = presets.into_iter().find(|(preset, _)| *preset == rights);
    match preset {
        Some((_, word)) => word.to_owned(),
        None if rights.is_empty() => String::from("none"),
        None => rights.to_string(),
    }
}

fn limits(account: &Account) -> String {
    let Account { quota_bytes, quota_files, connections, rate, .. } = account;
    let size = |bytes: &u64| format_size(*bytes, BINARY).replace(' ', &TIE.to_string());
    let found: Vec<String> = [
        quota_bytes.as_ref().map(size),
        quota_files.map(|files| format!("{files}{TIE}files")),
        connections.map(|most| format!("{most}{TIE}connections")),
        rate.as_ref().map(|rate| format!("{}/s", size(rate))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if found.is_empty() { String::from("none") } else { found.join(", ") }
}

/// Whether somebody can log in.
fn state(account: &Account, now: i64) -> &'static str {
    let is_over = |end: Option<i64>| end.is_some_and(|end| end <= now);
    match account {
        account if is_over(account.expires) => "ended",
        account if !account.unix_users.is_empty() => "active",
        account if account.tokens.iter().any(|token| !is_over(token.expires)) => "active",
        _ => "no token",
    }
}

/// The widths of the columns: as wide as the longest cell. If a row would be too long, the widest columns give way.
fn widths(rows: &[Row]) -> [usize; 6] {
    let mut widths = [0; 6];
    for Row(cells) in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.width().max(*width);
        }
    }
    while widths.iter().sum::<usize>() + GAP * (widths.len() - 1) > WIDTH {
        if let Some(widest) = widths.iter_mut().max() {
            *widest -= 1;
        }
    }
    widths
}

/// The lines of a cell: split at spaces, and in the middle of a word that is longer than a line.
fn folded(cell: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in cell.split(' ') {
        let line = lines.last_mut().filter(|line| !line.is_empty());
        match line {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
                continue;
            }
            Some(_) => lines.push(String::new()),
            None => {}
        }
        for letter in word.chars() {
            let is_full = |line: &String| line.width() + letter.width().unwrap_or(0) > width;
            if lines.last().is_some_and(is_full) {
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push(letter);
            }
        }
    }
    lines.iter().map(|line| line.replace(TIE, " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::file;

    const NOW: i64 = 1_798_761_600;

    fn shown(users: &str) -> String {
        let mut out = Vec::new();
        Row::show(&file::parse(users).unwrap(), NOW, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn accounts_are_rows_of_a_table() {
        let token = |name: &str, id: &str, more: &str| {
            format!(
                "[[user.{name}.token]]\nid = \"{id}\"\nhash = \"b3:{}\"\n{more}",
                "0".repeat(64)
            )
        };
        let text = [
            "[user.alice]\nrights = [\"put\", \"replace\", \"list\"]\nquota_bytes = \"200GiB\"\nrate = 1024\n",
            &token("alice", "aaaaaaaa", ""),
            "[user.bob]\nroot = \".\"\nrights = [\"list\", \"get\"]\nexpires = 2026-01-01\n",
            "[user.carol]\nrights = [\"put\", \"publish\"]\nexpires = 2027-01-01T00:00:05Z\n",
            &token("carol", "bbbbbbbb", "expires = 2026-12-01\n"),
            "[user.dora]\nrights = []\nunix_users = [7]\n",
        ];
        let expected = "\
account  rights        root   limits            ends                  state
alice    writer        alice  200 GiB, 1 KiB/s  never                 active
bob      reader        .      none              2026-01-01            ended
carol    put, publish  carol  none              2027-01-01 00:00:05Z  no token
dora     none          dora   none              never                 active
";
        assert_eq!(shown(&text.concat()), expected);
    }

    #[test]
    fn longest_account_there_is_takes_eighty_columns() {
        let text = format!(
            "[user.{}]\nroot = \"{}\"\nrights = [\"put\", \"replace\", \"list\", \"get\", \"publish\"]\nquota_bytes = 18446744073709551615\nquota_files = 18446744073709551615\nconnections = 4294967295\nrate = 18446744073709551615\nexpires = 2027-01-01T00:00:05Z\n",
            "n".repeat(32),
            "漢字/".repeat(40) + "x"
        );
        let shown = shown(&text);
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
        for (letter, count) in [('字', 40), ('n', 32 + 3)] {
            assert!(shown.matches(letter).count() >= count, "{shown}");
        }
        assert!(shown.contains("4294967295") && shown.contains("replace"), "{shown}");
    }
}
