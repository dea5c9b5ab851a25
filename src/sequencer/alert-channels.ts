// The ways to tell people: a webhook, and mail through a smart host. Apart from what is told and when (alerts.ts).
import { createTransport } from 'nodemailer';
import type { Alert, AlertChannel } from './alerts.ts';

const TIMEOUT_MS = 10_000;

/** The text of a message: one line an alert. */
export function renderAlerts(deployment: string, alerts: readonly Alert[]): { subject: string; text: string } {
  const [first] = alerts;
  const subject = alerts.length === 1 ? (first?.sentence ?? '') : `${alerts.length} things need attention`;
  const lines = alerts.map(({ raisedAt, sentence, cause }) => `${raisedAt.slice(0, 19)}Z  ${sentence} (${cause})`);
  const todo = 'Look with: espalier task list --filter attention=true; espalier why task SITE/NAME';
  return { subject: `[${deployment}] ${subject}`, text: `${lines.join('\n')}\n\n${todo}\n` };
}

/** POSTs `{deployment, alerts: [{id, cause, sentence, raisedAt}]}`. */
export function makeWebhook(deployment: string, url: string): AlertChannel {
  return {
    name: 'webhook',
    async tell(alerts, signal) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ deployment, alerts }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      await response.body?.cancel();
      if (!response.ok) throw new Error(`the webhook answered ${response.status}`);
    },
  };
}

/** `smtpUrl`: `smtp://user:password@host:port`. */
export function makeMail(deployment: string, mail: { smtpUrl: string; from: string; to: string }): AlertChannel {
  const timeouts = { connectionTimeout: TIMEOUT_MS, greetingTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS };
  const transport = createTransport({ url: mail.smtpUrl, ...timeouts });
  return {
    name: 'mail',
    async tell(alerts) {
      await transport.sendMail({ from: mail.from, to: mail.to, ...renderAlerts(deployment, alerts) });
    },
  };
}

/** From the controller's environment; without any, alerts are only in the API. */
export function readAlertChannels(
  deployment: string,
  environment: Readonly<Record<string, string | undefined>>,
): AlertChannel[] {
  const { ESPALIER_ALERT_WEBHOOK: webhook, ESPALIER_ALERT_MAIL: to, ESPALIER_SMTP_URL: smtpUrl } = environment;
  const from = environment.ESPALIER_MAIL_FROM ?? 'espalier@localhost';
  return [
    ...(webhook === undefined ? [] : [makeWebhook(deployment, webhook)]),
    ...(to === undefined || smtpUrl === undefined ? [] : [makeMail(deployment, { smtpUrl, from, to })]),
  ];
}
