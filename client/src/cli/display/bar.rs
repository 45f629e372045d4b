//! The line that a person watches: a bar and the counts beside it, as many as fit.

use super::super::console::fold::columns;

/// Columns of a bar at most.
const LONGEST: usize = 40;

/// Columns below which a bar shows nothing.
const SHORTEST: usize = 10;

/// Columns of the part that moves while nobody knows the end.
const MOVING: usize = 4;

/// The signs of life before the bar, one after the other.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// A count for the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The less it is, the longer the piece stays as the terminal gets narrower.
    pub(super) rank: u8,
}

/// A line for a terminal of so many columns at one moment: the bar, and the text after it. `done` is the part of the whole
/// that is done; if it is not known, the bar moves without an end.
pub(super) fn line(
    pieces: &[Piece],
    done: Option<f64>,
    moment: usize,
    width: usize,
) -> (String, String) {
    let spinner = SPINNER[moment % SPINNER.len()];
    // The last column stays free: some terminals begin a new line there.
    let room = width.saturating_sub(3);
    let mut pieces = pieces.to_vec();
    while pieces.len() > 1 && columns(&joined(&pieces)) > room {
        let last = pieces.iter().map(|piece| piece.rank).max();
        pieces.retain(|piece| Some(piece.rank) != last);
    }
    let text = joined(&pieces);
    let inner = room.saturating_sub(columns(&text) + 3).min(LONGEST);
    if inner < SHORTEST {
        return (format!("{spinner} "), text);
    }
    let bar = match done {
        Some(done) => filled(done, inner),
        None => moving(moment, inner),
    };
    (format!("{spinner} [{bar}] "), text)
}

/// All pieces beside each other.
pub(super) fn joined(pieces: &[Piece]) -> String {
    let texts: Vec<_> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    texts.join(", ")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a few columns, from 0 on"
)]
fn filled(done: f64, inner: usize) -> String {
    let full = (done.clamp(0.0, 1.0) * inner as f64) as usize;
    let tip = if full < inner { ">" } else { "" };
    format!("{}{tip}{}", "=".repeat(full), " ".repeat(inner - full - tip.len()))
}

fn moving(moment: usize, inner: usize) -> String {
    let way = inner - MOVING;
    let at = moment % (2 * way);
    let at = if at < way { at } else { 2 * way - at };
    format!("{}{}{}", " ".repeat(at), "=".repeat(MOVING), " ".repeat(way - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> Vec<Piece> {
        let pieces = [("12 of 34 files", 0), ("5 MiB", 3), ("2 MiB/s", 1), ("0:07 left", 2)];
        pieces.map(|(text, rank)| Piece { text: text.to_owned(), rank }).to_vec()
    }

    fn shown(done: Option<f64>, moment: usize, width: usize) -> String {
        let (bar, text) = line(&pieces(), done, moment, width);
        assert!(columns(&bar) + columns(&text) < width, "{bar}{text}");
        bar + &text
    }

    #[test]
    fn bar_and_counts_fit_80_columns() {
        assert_eq!(
            shown(Some(0.5), 0, 80),
            "⠋ [================>                ] 12 of 34 files, 5 MiB, 2 MiB/s, 0:07 left"
        );
    }

    #[test]
    fn narrow_terminal_shows_fewer_counts_and_no_bar() {
        assert_eq!(shown(Some(0.5), 0, 40), "⠋ 12 of 34 files, 2 MiB/s, 0:07 left");
        assert_eq!(shown(Some(0.5), 0, 20), "⠋ 12 of 34 files");
    }

    #[test]
    fn bar_moves_while_the_total_is_not_known() {
        assert_eq!(
            shown(None, 0, 60),
            "⠋ [====         ] 12 of 34 files, 5 MiB, 2 MiB/s, 0:07 left"
        );
        assert_eq!(
            shown(None, 3, 60),
            "⠸ [   ====      ] 12 of 34 files, 5 MiB, 2 MiB/s, 0:07 left"
        );
        assert_eq!(
            shown(None, 9, 60),
            "⠏ [         ====] 12 of 34 files, 5 MiB, 2 MiB/s, 0:07 left"
        );
    }

    #[test]
    fn bar_is_full_at_the_end_and_never_longer() {
        assert_eq!(
            (filled(0.0, 4), filled(1.0, 4), filled(7.0, 4)),
            (">   ".into(), "====".into(), "====".into())
        );
    }
}
