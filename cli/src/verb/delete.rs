//! `kv delete`: delete what a key holds.

use crate::args::value::{DeleteArguments, Replacing};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;
use crate::verb::put;

/// Deletes the key.
pub(super) async fn run(options: &DeleteArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.write.connection, output).await?;
    let bucket = client.bucket_named(options.key.bucket.clone());
    let mut request =
        bucket.delete(options.key.key.to_bytes()).deadline(options.write.connection.timeout);
    if let Replacing::Context(context) = options.replacing() {
        request = request.context(context);
    }
    if let Some(w) = options.write.w {
        request = request.w(w);
    }
    if options.write.quorum.strict {
        request = request.strict();
    }
    if let Some(operation) = options.write.operation {
        request = request.operation(operation);
    }
    if options.write.retry {
        request = request.retry();
    }
    let doing = format!("delete {}", key_text(&options.key.key));
    let reply = request.send().await;
    let reply = reply.map_err(|error| explain::write(&doing, &error, &client.topology()))?;
    put::report(&client, &reply, "delete", output)
}
