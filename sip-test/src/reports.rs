//! RTCP as the phone needs it: it reads the line's sender reports and answers each (RFC 3550 §6.4).

/// What the line said by RTCP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reports {
    /// Sender reports.
    pub(crate) heard: u32,
    pub(crate) bye: bool,
}

impl Reports {
    /// Reads a compound.
    ///
    /// * `own` — our SSRC.
    /// * returns — our answer to a sender report: all that was sent has come.
    pub(crate) fn hear(&mut self, compound: &[u8], own: u32) -> Option<Vec<u8>> {
        let (mut rest, mut answer) = (compound, None);
        while let Some(head) = rest.get(..4) {
            let length = 4 * (1 + usize::from(u16::from_be_bytes([head[2], head[3]])));
            let Some(packet) = rest.get(..length) else { break };
            match head[1] {
                200 if length >= 28 => {
                    self.heard += 1;
                    answer = Some(receiver_report(own, &packet[4..8], &packet[10..14]));
                }
                203 => self.bye = true,
                _ => {}
            }
            rest = &rest[length..];
        }
        answer
    }
}

/// * `stamp` — middle of the sender report's NTP time; it is answered at once.
fn receiver_report(own: u32, source: &[u8], stamp: &[u8]) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(own.to_be_bytes());
    report.extend(source);
    report.extend([0; 12]);
    report.extend(stamp);
    report.extend([0; 4]);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_report_is_answered_with_its_stamp_and_a_bye_is_noted() {
        let mut compound = vec![0x80, 200, 0, 6, 0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8];
        compound.extend([0; 12]);
        compound.extend([0x81, 203, 0, 1, 0, 0, 0, 5]);
        let mut reports = Reports::default();
        let answer = reports.hear(&compound, 9).unwrap();
        assert_eq!(
            (answer.len(), &answer[4..12], &answer[24..28]),
            (32, &[0, 0, 0, 9, 0, 0, 0, 5][..], &[3, 4, 5, 6][..])
        );
        assert_eq!((reports.heard, reports.bye), (1, true));
        assert_eq!(reports.hear(&[0x80, 200, 0xFF, 0xFF], 9), None, "a stump");
    }
}
