//! The terminal while a live view has it: another screen, no echo, keys as they are pressed; and all as before afterwards.
//!
//! Put right again however the view ends: by its guard when it returns, fails or unwinds, and before the message of a panic,
//! which would else be written to a screen that vanishes. Keys come from standard input if that is a terminal; Ctrl-C is one.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::verb::top::frame::Size;

/// Another screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The screen as it was, with its cursor.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Keys read at once: more than anybody types between two frames.
const TYPED_BYTES: usize = 64;

/// Reads that wait for the view to take their keys. It always does at once; more stay with the terminal.
const WAITING_READS: usize = 4;

/// Size of a terminal that does not tell it.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// The terminal, until it is dropped.
pub(super) struct Screen {
    output: Output,
    keys: Option<mpsc::Receiver<Vec<u8>>>,
    resizes: Signal,
    restore: Arc<Restore>,
}

/// What must be put right again, once.
struct Restore {
    modes: Option<Termios>,
    done: AtomicBool,
}

impl Restore {
    /// Errors have nowhere to go: the terminal may have been closed.
    fn now(&self) {
        if self.done.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(LEAVE.as_bytes());
        let _ = stdout.flush();
        if let Some(modes) = &self.modes {
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, modes);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.restore.now();
    }
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// A failure when it cannot be written to or its resizing not be watched.
    pub(super) fn enter(output: Output) -> Outcome<Screen> {
        let resizes = signal(SignalKind::window_change()).map_err(|error| {
            Failure::unavailable(format!("cannot watch the terminal's size: {error}"))
        })?;
        let modes = if io::stdin().is_terminal() { tcgetattr(io::stdin()).ok() } else { None };
        let restore = Arc::new(Restore { modes, done: AtomicBool::new(false) });
        let last = Arc::clone(&restore);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            last.now();
            usual(panic);
        }));
        let mut screen = Screen { output, keys: None, resizes, restore };
        if let Some(modes) = &screen.restore.modes {
            let mut own = modes.clone();
            own.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            own.special_codes[SpecialCodeIndex::VMIN] = 1;
            own.special_codes[SpecialCodeIndex::VTIME] = 0;
            if tcsetattr(io::stdin(), OptionalActions::Now, &own).is_ok() {
                screen.keys = Some(read_keys());
            }
        }
        screen.output.raw(ENTER.as_bytes())?;
        Ok(screen)
    }

    /// How much room there is now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => USUAL,
        }
    }

    /// Draws over what was there, in one write.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(super) fn draw(&self, lines: &[String]) -> Outcome<()> {
        let mut text = String::from("\x1b[?2026h\x1b[H");
        for (position, line) in lines.iter().enumerate() {
            // Cleared before it is written: after a full line the cursor stands on its last character.
            text.push_str(if position == 0 { "\x1b[K" } else { "\r\n\x1b[K" });
            text.push_str(line);
        }
        if lines.len() < self.size().rows {
            text.push_str("\r\n\x1b[J");
        }
        text.push_str("\x1b[?2026l");
        self.output.raw(text.as_bytes())
    }

    /// Waits until the screen has another size or keys were pressed; gives the bytes of these.
    pub(super) async fn changed(&mut self) -> Vec<u8> {
        tokio::select! {
            _ = self.resizes.recv() => Vec::new(),
            typed = typed(self.keys.as_mut()) => typed,
        }
    }
}

/// Reads keys in a thread of its own, because only a thread can wait for a terminal on every system. It ends with the process
/// or the terminal.
fn read_keys() -> mpsc::Receiver<Vec<u8>> {
    let (sender, keys) = mpsc::channel(WAITING_READS);
    let read = move || {
        let mut bytes = [0; TYPED_BYTES];
        while let Ok(count @ 1..) =
            rustix::io::retry_on_intr(|| rustix::io::read(io::stdin(), &mut bytes))
        {
            if sender.blocking_send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    };
    // Without keys the view still runs, until a signal ends it.
    let _ = thread::Builder::new().name("keys".to_owned()).spawn(read);
    keys
}

/// Waits for keys; where there are none, for ever.
async fn typed(keys: Option<&mut mpsc::Receiver<Vec<u8>>>) -> Vec<u8> {
    if let Some(keys) = keys
        && let Some(typed) = keys.recv().await
    {
        return typed;
    }
    std::future::pending().await
}
