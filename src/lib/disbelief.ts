// Whether a TLS connection failed because the other's certificate is not believed, rather than because nobody is there. Apart because
// agent and command line both tell people the difference.

/** OpenSSL's names of X509_V_ERR_…, and Node's own. */
const DISBELIEVED =
  /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_.*|CERT_.*|ERR_TLS_CERT_ALTNAME_INVALID)$/;

export const isDisbelief = (error: Error & { code?: string }): boolean => DISBELIEVED.test(error.code ?? '');
