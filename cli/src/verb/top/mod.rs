//! `kv top`: the cluster at a glance, redrawn in place.
//!
//! What is shown is decided purely: looks at the nodes go into a [`view`], a view and a size become lines ([`frame`]). Around it
//! is a thin shell: the terminal ([`screen`]), a task that looks at the nodes, and the loop below. Without a terminal one
//! plain frame is printed.

mod frame;
mod screen;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use kvorum_client::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::watch::TopArguments;
use crate::cluster::connect::connect;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::local::signals::Signals;
use crate::metrics::Moment;
use crate::output::Output;
use crate::verb::stats::{Stats, document};
use crate::verb::top::frame::{Size, frame};
use crate::verb::top::screen::Screen;
use crate::verb::top::view::{Key, View};

/// How soon the second look follows the first, so that there is something to see.
const FIRST: Duration = Duration::from_millis(300);

/// How long a node may take to answer. Then its row says so, and the others are shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// The size of a frame that no terminal limits.
const PLAIN: Size = Size { columns: 160, rows: usize::MAX };

/// Shows the cluster until the user has seen enough.
pub(super) async fn run(options: &TopArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let patience = PATIENCE.min(options.connection.timeout);
    if options.once || output.is_json() || !io::stdout().is_terminal() {
        return once(&client, options, patience, output).await;
    }
    let mut view = View::new(&client.topology().cluster, options.interval, options.sort);
    let mut signals = Signals::watch()?;
    let (sender, mut moments) = mpsc::channel(1);
    let mut looking = JoinSet::new();
    looking.spawn(look(client, options.interval, patience, sender));
    let mut screen = Screen::enter(output)?;
    loop {
        screen.draw(&frame(&view, screen.size(), true, output.style()))?;
        tokio::select! {
            () = signals.first() => return Ok(ExitCode::Success),
            Some(moment) = moments.recv() => view.take(moment),
            typed = screen.changed() => {
                for key in Key::typed(&typed) {
                    if key == Key::Quit {
                        return Ok(ExitCode::Success);
                    }
                    view.press(key);
                }
            }
        }
    }
}

/// Looks again and again, for as long as somebody takes what was seen.
async fn look(
    client: Client,
    interval: Duration,
    patience: Duration,
    moments: mpsc::Sender<Moment>,
) {
    let mut pause = interval.min(FIRST);
    while moments.send(Moment::ask(&client, None, patience).await).await.is_ok() {
        sleep(pause).await;
        pause = interval;
    }
}

/// One frame, or with `--json` the document of `kv stats`.
async fn once(
    client: &Client,
    options: &TopArguments,
    patience: Duration,
    output: Output,
) -> Outcome<ExitCode> {
    let cluster = client.topology().cluster.clone();
    let earlier = Moment::ask(client, None, patience).await;
    sleep(options.interval).await;
    let later = Moment::ask(client, None, patience).await;
    let stats = Stats::between(&earlier, &later);
    let code = stats.code();
    if output.is_json() {
        output.json(&document(&cluster, &stats))?;
        return Ok(code);
    }
    let mut view = View::new(&cluster, options.interval, options.sort);
    view.take(earlier);
    view.take(later);
    output.line(&frame(&view, PLAIN, false, output.style()).join("\n"))?;
    Ok(code)
}
