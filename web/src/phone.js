// An operator's telephone in a browser: registers over a WebSocket, rings, and talks.

import JsSIP from 'jssip';

/**
 * @param {object} settings
 * @param {string} settings.websocket  `wss://line.example:8080/sip`
 * @param {string} settings.extension  `8001`
 * @param {string} settings.realm      the line's host as it stands in its addresses
 * @param {string} [settings.username] of a lent secret (`POST /api/v1/me/sip-secret`)
 * @param {string} settings.secret     the seat's, its own or a lent one; never the log-in password
 * @param {HTMLAudioElement} settings.audio  where the caller is heard
 * @param {MediaTrackConstraints} [settings.microphone]
 * @param {(state: string, cause?: string) => void} tell  `registered`, `unregistered`, `ringing`, `talking`, `held`,
 *   `resumed`, `passed on`, `idle`
 */
export function telephone({ websocket, extension, realm, username = extension, secret, audio, microphone = {} }, tell) {
  const agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(websocket)],
    uri: `sip:${extension}@${realm}`,
    authorization_user: username,
    password: secret,
    register_expires: 300,
    session_timers: false,
  });
  let call = null;

  agent.on('registered', () => tell('registered'));
  agent.on('unregistered', () => tell('unregistered'));
  agent.on('registrationFailed', ({ cause }) => tell('unregistered', cause));
  agent.on('newRTCSession', ({ session, originator }) => {
    if (originator !== 'remote') return;
    // A seat has one talk at a time; the line rings no second one, and a stranger who does is busy.
    if (call) return void session.terminate({ status_code: 486 });
    call = session;
    session.on('peerconnection', ({ peerconnection }) => {
      peerconnection.addEventListener('track', ({ track }) => {
        audio.srcObject = new MediaStream([track]);
        audio.play().catch(() => {});
      });
    });
    // The line finds us by our own tests of the way to it: one candidate is as good as all.
    session.on('icecandidate', ({ ready }) => ready());
    session.on('confirmed', () => tell('talking'));
    session.on('hold', ({ originator: by }) => by === 'local' && tell('held'));
    session.on('unhold', ({ originator: by }) => by === 'local' && tell('resumed'));
    const over = ({ cause }) => {
      call = null;
      tell('idle', cause);
    };
    session.on('ended', over);
    session.on('failed', over);
    tell('ringing', session.remote_identity.uri.user);
  });
  agent.start();

  return {
    answer: () => call?.answer({
      mediaConstraints: { audio: microphone, video: false },
      pcConfig: { iceServers: [], bundlePolicy: 'max-bundle' },
    }),
    hold: () => call?.hold(),
    resume: () => call?.unhold(),
    transfer: (to) => call?.refer(`sip:${to}@${realm}`, {
      eventHandlers: { accepted: () => tell('passed on'), failed: () => tell('not passed on') },
    }),
    hangUp: () => call?.terminate(),
    stop: () => agent.stop(),
  };
}
