//! `kv auth create|ls|revoke`: access tokens. The secret is drawn here, shown once, and never sent.

use kvorum_client::{Client, OperationError};
use kvorum_protocol::message::{ListedToken, TokenTerms};
use kvorum_protocol::{AccessToken, Grant};
use serde_json::{Value, json};

use crate::args::auth::AuthVerb;
use crate::cluster::connect::connect;
use crate::cluster::explain;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Runs one of the verbs.
pub(super) async fn run(verb: AuthVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        AuthVerb::Create { name, grants, expires, in_flight, rate, connection } => {
            let client = connect(&connection, output).await?;
            let token = Client::draw_token();
            let created_at_ms = units::now_ms();
            let expires_at_ms = expires.map(|after| {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                created_at_ms.saturating_add(after_ms)
            });
            let digest = token.digest();
            let terms =
                TokenTerms { name, digest, grants, created_at_ms, expires_at_ms, in_flight, rate };
            create(&client, &token, terms, output).await
        }
        AuthVerb::Ls { connection } => {
            let client = connect(&connection, output).await?;
            let tokens = list(&client).await?;
            print(&tokens, output)
        }
        AuthVerb::Revoke { token, connection } => {
            let client = connect(&connection, output).await?;
            revoke(&client, &token, output).await
        }
    }
}

async fn create(
    client: &Client,
    token: &AccessToken,
    terms: TokenTerms,
    output: Output,
) -> Outcome<ExitCode> {
    let created_at_ms = terms.created_at_ms;
    let made = client.create_token(token.id(), terms).await;
    let made = made.map_err(|error| failed(client, "make the token", &error))?;
    let Some(listed) = made.tokens.first() else {
        return Err(Failure::unavailable("an empty answer"));
    };
    if output.is_json() {
        let mut document = token_json(listed, created_at_ms);
        document["token"] = json!(token.reveal());
        output.json(&document)?;
        return Ok(ExitCode::Success);
    }
    output.remark(&format!(
        "token {} ({}): {}; this is the only time that it is shown",
        listed.id,
        listed.name,
        rights(listed)
    ));
    output.line(&token.reveal())?;
    Ok(ExitCode::Success)
}

async fn list(client: &Client) -> Outcome<Vec<ListedToken>> {
    let listed = client.list_tokens().await;
    Ok(listed.map_err(|error| failed(client, "list the tokens", &error))?.answer.tokens)
}

async fn revoke(client: &Client, wanted: &str, output: Output) -> Outcome<ExitCode> {
    let named =
        |token: &&ListedToken| token.name.as_str() == wanted || token.id.to_string() == wanted;
    let known = list(client).await?;
    let mut revoked = Vec::new();
    for token in known.iter().filter(named).filter(|token| {
        // A name may have been given again since: tokens that it meant before have ended already.
        token.revoked_at_ms.is_none() || token.id.to_string() == wanted
    }) {
        let done = client.revoke_token(token.id, units::now_ms()).await;
        let done = done.map_err(|error| failed(client, "revoke the token", &error))?;
        revoked.extend(done.answer.tokens);
    }
    if revoked.is_empty() {
        let message = format!("there is no token {wanted} that could be revoked");
        return Err(
            Failure::new(ExitCode::NotFound, message).advise("kv auth ls shows the tokens.")
        );
    }
    print(&revoked, output)
}

fn failed(client: &Client, doing: &str, error: &OperationError) -> Failure {
    explain::operation(doing, error, &client.topology())
}

fn print(tokens: &[ListedToken], output: Output) -> Outcome<ExitCode> {
    let now_ms = units::now_ms();
    if output.is_json() {
        let list: Vec<Value> = tokens.iter().map(|token| token_json(token, now_ms)).collect();
        output.json(&json!({ "tokens": list }))?;
        return Ok(ExitCode::Success);
    }
    let mut table = Table::new(&[
        ("token", Align::Left),
        ("name", Align::Left),
        ("state", Align::Left),
        ("made (UTC)", Align::Left),
        ("expires (UTC)", Align::Left),
        ("in flight", Align::Right),
        ("per second", Align::Right),
        ("rights", Align::Left),
    ]);
    let style = output.style();
    for token in tokens {
        let state = match state(token, now_ms) {
            "valid" => style.good("valid"),
            other => style.dim(other),
        };
        let expires = token.expires_at_ms.map_or_else(|| "never".to_owned(), units::date);
        table.row(vec![
            token.id.to_string(),
            style.name(token.name.as_str()),
            state,
            units::date(token.created_at_ms),
            expires,
            limit(token.in_flight),
            limit(token.rate),
            rights(token),
        ]);
    }
    output.table(&table)?;
    Ok(ExitCode::Success)
}

fn limit(limit: Option<u32>) -> String {
    limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string())
}

fn rights(token: &ListedToken) -> String {
    token.grants.iter().map(Grant::to_string).collect::<Vec<_>>().join(" ")
}

/// A stable name of the token's state.
fn state(token: &ListedToken, now_ms: u64) -> &'static str {
    match (token.revoked_at_ms, token.expires_at_ms) {
        (Some(_), _) => "revoked",
        (None, Some(expires_at_ms)) if expires_at_ms <= now_ms => "expired",
        _ => "valid",
    }
}

fn token_json(token: &ListedToken, now_ms: u64) -> Value {
    let grants: Vec<Value> = token
        .grants
        .iter()
        .map(|grant| {
            let bucket = grant.bucket.as_ref().map_or("*", |bucket| bucket.as_str());
            let rights = grant.rights.to_string();
            json!({ "bucket": bucket, "rights": rights.split(',').collect::<Vec<_>>() })
        })
        .collect();
    json!({
        "id": token.id.to_string(), "name": token.name.as_str(), "state": state(token, now_ms), "grants": grants,
        "created_at_ms": token.created_at_ms, "expires_at_ms": token.expires_at_ms,
        "revoked_at_ms": token.revoked_at_ms, "in_flight": token.in_flight, "rate": token.rate,
    })
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::TokenId;
    use kvorum_protocol::message::ListedToken;

    use super::{state, token_json};

    #[test]
    fn a_revoked_token_is_revoked_whether_or_not_it_has_expired() {
        let mut token = ListedToken {
            id: TokenId(1),
            name: "shop".parse().unwrap(),
            grants: vec!["*:read,write".parse().unwrap()],
            created_at_ms: 1,
            expires_at_ms: Some(10),
            revoked_at_ms: None,
            in_flight: Some(8),
            rate: None,
        };
        assert_eq!([state(&token, 9), state(&token, 10)], ["valid", "expired"]);
        let json = token_json(&token, 9);
        assert_eq!(json["grants"][0]["rights"], serde_json::json!(["read", "write"]));
        assert_eq!((json["in_flight"].as_u64(), json["rate"].as_u64()), (Some(8), None));
        token.revoked_at_ms = Some(5);
        assert_eq!([state(&token, 9), state(&token, 10)], ["revoked", "revoked"]);
    }
}
