//! What was heard in a call.

use super::{
    Store, StoreError, Tx,
    codec::{from_json, json},
    sql::sql,
};
use crate::domain::{ids::CallId, transcript::Transcript};

impl Tx {
    /// Stores the transcript of a call; a later one replaces it.
    pub async fn put_transcript(&mut self, call: CallId, transcript: &Transcript) -> Result<(), StoreError> {
        let now = self.now();
        sql("INSERT INTO transcripts (call_id, utterances, final, made) VALUES ($1, $2, $3, $4)
             ON CONFLICT (call_id) DO UPDATE
             SET utterances = excluded.utterances, final = excluded.final, made = excluded.made")
        .bind(call.to_string())
        .bind(json(&transcript.utterances))
        .bind(i64::from(transcript.r#final))
        .bind(now.0)
        .execute(self.connection())
        .await
        .map_err(StoreError::at("storing a transcript"))?;
        Ok(())
    }
}

impl Store {
    /// The transcript of a call, if it was heard.
    pub async fn transcript(&self, call: CallId) -> Result<Option<Transcript>, StoreError> {
        let row: Option<(String, i64)> = sql("SELECT utterances, final FROM transcripts WHERE call_id = $1")
            .bind(call.to_string())
            .fetch_optional(self.readers())
            .await
            .map_err(StoreError::at("reading a transcript"))?;
        row.map(|(utterances, whole)| {
            Ok(Transcript { utterances: from_json("transcripts", &utterances)?, r#final: whole != 0 })
        })
        .transpose()
    }
}
