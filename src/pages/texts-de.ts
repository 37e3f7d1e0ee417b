import type { Texts } from '../contract/texts'

/** The texts in German. The hyphens of “E‑Mail‑Adresse” are U+2011, at which no line breaks. */
export const german: Texts = {
  lang: 'de',
  signInButton: 'Mit Bitbucket anmelden',
  errors: {
    configuration_invalid:
      'Die Anmeldung mit Bitbucket ist hier nicht richtig eingerichtet. Bitte melden Sie sich auf einem anderen Weg an und geben Sie dem Support dieser Website Bescheid.',
    session_missing:
      'Diese Website konnte sich Ihre Anmeldung nicht merken. Bitte melden Sie sich auf einem anderen Weg an und geben Sie dem Support dieser Website Bescheid.',
    request_invalid:
      'In den Angaben Ihres Browsers hat etwas gefehlt. Bitte gehen Sie zurück und versuchen Sie es noch einmal.',
    request_too_large:
      'Das war mehr, als dieses Formular annimmt. Bitte kürzen Sie Ihre Eingabe und versuchen Sie es noch einmal.',
    method_not_allowed: 'Diese Seite lässt sich so nicht öffnen. Bitte gehen Sie zurück und beginnen Sie neu.',
    state_invalid:
      'Diese Anmeldung wurde nicht in diesem Browser begonnen, schon einmal verwendet, oder die Einstellungen haben sich seither geändert. Bitte beginnen Sie auf der Anmeldeseite neu; geschieht das wieder, versuchen Sie es mit einem anderen Browser.',
    state_expired: 'Diese Anmeldung hat zu lange gedauert und wurde beendet. Bitte beginnen Sie neu.',
    access_denied:
      'Bitbucket hat diese Anmeldung nicht bestätigt, vielleicht weil Sie dort abgebrochen haben. Sie können es noch einmal versuchen; wenn Bitbucket Sie nicht mehr fragt, entfernen Sie diese Website zuvor in Ihren Bitbucket-Einstellungen unter „App authorizations“.',
    scope_missing:
      'Bitbucket hat uns nicht alles mitgeteilt, was wir für Ihre Anmeldung brauchen. Bitte melden Sie sich auf einem anderen Weg an und geben Sie dem Support dieser Website Bescheid.',
    client_rejected:
      'Bitbucket hat die Anfrage dieser Website nicht angenommen. Bitte melden Sie sich auf einem anderen Weg an und geben Sie dem Support dieser Website Bescheid.',
    upstream_failed:
      'Bitbucket hat nicht so geantwortet, wie es sollte. Bitte versuchen Sie es in ein paar Minuten noch einmal.',
    upstream_timeout:
      'Bitbucket hat zu lange nicht geantwortet. Bitte versuchen Sie es in ein paar Minuten noch einmal.',
    rate_limited:
      'Bitbucket erhält gerade zu viele Anfragen. Bitte warten Sie ein paar Minuten und versuchen Sie es dann noch einmal.',
    profile_invalid:
      'Bitbucket hat uns nicht eindeutig mitgeteilt, wer Sie sind. Bitte versuchen Sie es noch einmal oder melden Sie sich auf einem anderen Weg an.',
    connection_unavailable:
      'Die Anmeldung mit Bitbucket wird hier nicht angeboten. Bitte melden Sie sich auf einem anderen Weg an.',
    origin_not_allowed:
      'Unter dieser Adresse wird die Anmeldung mit Bitbucket nicht angeboten. Bitte öffnen Sie die Website unter ihrer üblichen Adresse und versuchen Sie es dort noch einmal.',
    workspace_required:
      'Hier können sich nur Mitglieder bestimmter Bitbucket-Workspaces anmelden. Bitten Sie um eine Einladung in den Workspace oder versuchen Sie es mit einem anderen Bitbucket-Konto.',
    sign_up_disabled:
      'Sie haben hier noch kein Konto, und auf diesem Weg lässt sich keines anlegen. Bitte wenden Sie sich an den Support dieser Website.',
    email_required:
      'Bitbucket hat uns keine E‑Mail‑Adresse von Ihnen mitgeteilt, wir brauchen aber eine. Tragen Sie in Ihrem Bitbucket-Konto eine Adresse ein und versuchen Sie es noch einmal.',
    email_unverified:
      'Ihre E‑Mail‑Adresse wurde hier noch nicht bestätigt. Bitte bestätigen Sie sie zuerst oder melden Sie sich auf einem anderen Weg an.',
    email_invalid:
      'Diese E‑Mail‑Adresse können wir nicht verwenden. Bitte prüfen Sie sie; sie sollte aussehen wie name@example.com.',
    email_ambiguous:
      'Mehrere Konten verwenden hier Ihre E‑Mail‑Adresse, daher wissen wir nicht, welches wir öffnen sollen. Bitte melden Sie sich auf einem anderen Weg an.',
    account_exists:
      'Zu Ihrer E‑Mail‑Adresse gibt es schon ein Konto. Bitte melden Sie sich dort so an, wie Sie es sonst auch tun.',
    account_exists_unverified:
      'Zu Ihrer E‑Mail‑Adresse gibt es schon ein Konto, in dem die Adresse aber nie bestätigt wurde. Melden Sie sich dort auf einem anderen Weg an und bestätigen Sie die Adresse, oder bitten Sie den Support dieser Website um Hilfe.',
    account_disabled:
      'Dieses Konto kann zurzeit nicht verwendet werden. Bitte wenden Sie sich an den Support dieser Website.',
    identity_linked_elsewhere:
      'Dieses Bitbucket-Konto ist hier schon mit einem anderen Konto verbunden. Bitte wählen Sie ein anderes Bitbucket-Konto.',
    identity_not_found:
      'Dieses Bitbucket-Konto ist nicht mit Ihrem Konto verbunden; vielleicht haben Sie die Verbindung schon getrennt. Bitte gehen Sie zurück und sehen Sie noch einmal nach.',
    another_identity_linked:
      'Ihr Konto ist schon mit einem anderen Bitbucket-Konto verbunden. Trennen Sie zuerst diese Verbindung und versuchen Sie es dann noch einmal.',
    not_signed_in: 'Sie sind nicht angemeldet. Bitte melden Sie sich an und versuchen Sie es noch einmal.',
    session_changed:
      'Sie haben sich in der Zwischenzeit an- oder abgemeldet, daher haben wir hier angehalten. Bitte beginnen Sie neu.',
    pending_missing:
      'Hier gibt es nichts abzuschließen; vielleicht ist es schon erledigt, oder es hat zu lange gedauert. Falls Sie nicht angemeldet sind, beginnen Sie bitte neu.',
    pending_replaced:
      'Diese Seite gehört zu einer Anmeldung, die schon abgeschlossen oder durch eine neuere ersetzt wurde. Falls Sie nicht angemeldet sind, machen Sie bei der neuesten weiter oder beginnen Sie neu.',
    recent_sign_in_required:
      'Zum Schutz Ihres Kontos melden Sie sich bitte noch einmal an und wiederholen Sie dann diesen Schritt.',
    membership_unconfirmed:
      'Bitte bestätigen Sie mit Bitbucket, dass Sie noch Mitglied des Workspace sind, und wiederholen Sie dann diesen Schritt.',
    identity_required:
      'Diese Seite ist für Mitglieder bestimmter Bitbucket-Workspaces. Verbinden Sie Ihr Bitbucket-Konto, um zu zeigen, dass Sie Mitglied sind.',
    reauthentication_mismatch:
      'Sie haben mit einem Bitbucket-Konto bestätigt, das nicht zu Ihrem Konto hier gehört. Wechseln Sie bei Bitbucket zum richtigen Konto und versuchen Sie es noch einmal.',
    last_sign_in_method:
      'Dies ist der einzige Weg, sich bei Ihrem Konto anzumelden, daher lässt sich die Verbindung nicht trennen. Bitte richten Sie zuerst einen anderen Weg ein.',
    code_wrong:
      'Dieser Code stimmt nicht. Bitte prüfen Sie ihn und verwenden Sie den neuesten Code, den wir Ihnen gesendet haben.',
    code_expired: 'Dieser Code gilt nicht mehr. Bitte fordern Sie einen neuen an.',
    code_exhausted:
      'Es wurden zu viele falsche Codes eingegeben. Bitte fordern Sie einen neuen Code an oder versuchen Sie es später noch einmal.',
    too_many_codes:
      'Für einen weiteren Code ist es noch zu früh. Bitte warten Sie etwas und versuchen Sie es dann noch einmal.',
    code_not_sent:
      'Das Senden der E‑Mail dauert länger als sonst oder ist fehlgeschlagen. Kommt sie an, gilt ihr Code; sonst fordern Sie in einer Minute einen neuen an.',
    cross_site_request:
      'Diese Anfrage kam nicht von einer Seite dieser Website, daher haben wir sie zu Ihrem Schutz angehalten. Bitte gehen Sie zurück und versuchen Sie es noch einmal.',
    hook_failed: 'Bei uns ist etwas schiefgegangen. Bitte versuchen Sie es in ein paar Minuten noch einmal.',
    store_unavailable:
      'Anmeldungen sind bei uns gerade nicht möglich. Bitte versuchen Sie es in ein paar Minuten noch einmal.',
    reauthorization_required:
      'Bitbucket lässt uns nicht mehr in Ihrem Namen handeln. Bitte melden Sie sich noch einmal mit Bitbucket an, um die Erlaubnis zu erneuern.',
    refresh_refused:
      'Bitbucket lässt uns gerade nicht in Ihrem Namen handeln. Bitte versuchen Sie es in 15 Minuten noch einmal.',
  },
  errorHeadings: {
    configuration_invalid: 'Die Anmeldung ist nicht richtig eingerichtet',
    session_missing: 'Ihre Anmeldung ließ sich nicht speichern',
    request_invalid: 'Es fehlte eine Angabe',
    request_too_large: 'Das war zu lang',
    method_not_allowed: 'Diese Seite lässt sich so nicht öffnen',
    state_invalid: 'Diese Anmeldung ist nicht mehr offen',
    state_expired: 'Diese Anmeldung ist abgelaufen',
    access_denied: 'Anmeldung abgebrochen',
    scope_missing: 'Angaben von Bitbucket fehlen',
    client_rejected: 'Bitbucket lehnt diese Website ab',
    upstream_failed: 'Bei Bitbucket gibt es gerade eine Störung',
    upstream_timeout: 'Bitbucket hat zu lange gebraucht',
    rate_limited: 'Bitbucket ist ausgelastet',
    profile_invalid: 'Bitbucket hat nicht mitgeteilt, wer Sie sind',
    connection_unavailable: 'Hier nicht verfügbar',
    origin_not_allowed: 'Unter dieser Adresse nicht verfügbar',
    workspace_required: 'Nur für Mitglieder',
    sign_up_disabled: 'Sie haben hier kein Konto',
    email_required: 'Eine E‑Mail‑Adresse ist nötig',
    email_unverified: 'Ihre E‑Mail‑Adresse ist nicht bestätigt',
    email_invalid: 'Diese E‑Mail‑Adresse ist nicht verwendbar',
    email_ambiguous: 'Mehr als ein Konto',
    account_exists: 'Sie haben schon ein Konto',
    account_exists_unverified: 'Diese Adresse ist schon vergeben',
    account_disabled: 'Dieses Konto ist gesperrt',
    identity_linked_elsewhere: 'Mit einem anderen Konto verbunden',
    identity_not_found: 'Nicht verbunden',
    another_identity_linked: 'Schon mit Bitbucket verbunden',
    not_signed_in: 'Sie sind nicht angemeldet',
    session_changed: 'Sie haben sich an- oder abgemeldet',
    pending_missing: 'Hier gibt es nichts abzuschließen',
    pending_replaced: 'Diese Seite ist veraltet',
    recent_sign_in_required: 'Bestätigen Sie, dass Sie es sind',
    membership_unconfirmed: 'Sind Sie noch Mitglied?',
    identity_required: 'Nur für Mitglieder',
    reauthentication_mismatch: 'Das ist ein anderes Bitbucket-Konto',
    last_sign_in_method: 'Ihr einziger Weg zur Anmeldung',
    code_wrong: 'Dieser Code stimmt nicht',
    code_expired: 'Dieser Code ist abgelaufen',
    code_exhausted: 'Zu viele falsche Codes',
    too_many_codes: 'Zu viele E‑Mails angefordert',
    code_not_sent: 'Die E‑Mail kommt vielleicht nicht an',
    cross_site_request: 'Diese Anfrage wurde angehalten',
    hook_failed: 'Etwas ist schiefgegangen',
    store_unavailable: 'Die Anmeldung ist gerade nicht möglich',
    reauthorization_required: 'Die Erlaubnis ist abgelaufen',
    refresh_refused: 'Bitbucket antwortet nicht eindeutig',
  },
  common: {
    errorTitle: 'Fehler: {title}',
    cancel: 'Abbrechen',
    back: 'Zurück',
    bitbucketAccount: 'Bitbucket-Konto',
    ownAccount: 'Ihr Konto hier',
  },
  error: {
    retry: 'Noch einmal versuchen',
    signIn: 'Anmelden',
    confirm: 'Bestätigen, dass Sie es sind',
    code: 'Fehlercode: {code}',
  },
  emailAddress: {
    heading: 'Wie lautet Ihre E‑Mail‑Adresse?',
    intro:
      'Hallo {displayName}, Bitbucket hat uns Ihre E‑Mail‑Adresse nicht mitgeteilt. Geben Sie sie hier ein. Wir senden Ihnen dann einen Code, mit dem Sie bestätigen, dass sie Ihnen gehört.',
    label: 'E‑Mail‑Adresse',
    submit: 'Code senden',
  },
  emailCode: {
    heading: 'Prüfen Sie Ihr Postfach',
    intro:
      'Hallo {displayName}, wir haben einen Code an {address} gesendet. Geben Sie ihn hier ein, um die Anmeldung abzuschließen.',
    notSentHeading: 'Bestätigen Sie Ihre E‑Mail‑Adresse',
    notSentIntro:
      'Hallo {displayName}, um die Anmeldung abzuschließen, brauchen Sie einen Code, den wir an {address} senden.',
    unsureIntro:
      'Hallo {displayName}, wir senden einen Code an {address}, aber das dauert länger als sonst oder ist fehlgeschlagen. Kommt die E‑Mail an, geben Sie hier ihren Code ein.',
    pausedReason: 'Ein Code für diese Adresse wurde gerade in einem anderen Versuch angefordert und gilt nur dort.',
    limitedReason: 'In letzter Zeit wurden zu viele Codes angefordert.',
    label: 'Code aus der E‑Mail',
    hint: 'Acht Buchstaben in der Form XXXX-\u2060XXXX. Groß- oder Kleinschreibung ist egal.',
    submit: 'Weiter',
    send: 'Code senden',
    resend: 'Neuen Code senden',
    waitSeconds: 'In {seconds} Sekunden können Sie einen neuen Code anfordern.',
    waitMinutes: 'In {minutes} Minuten können Sie einen neuen Code anfordern.',
    waitHours: 'In {hours} Stunden können Sie einen neuen Code anfordern.',
    changeAddress: 'Andere Adresse verwenden',
    addressLabel: 'Neue E‑Mail‑Adresse',
    changeSubmit: 'Code an diese Adresse senden',
  },
  prove: {
    heading: 'Sie haben schon ein Konto',
    intro:
      'Hallo {displayName}, es gibt schon ein Konto mit der Adresse {address}. Melden Sie sich dort so an, wie Sie es sonst auch tun; danach können Sie es mit Bitbucket verbinden.',
    signIn: 'Bei Ihrem Konto anmelden',
  },
  confirmLink: {
    heading: 'Mit Bitbucket verbinden?',
    intro: 'Danach können Sie sich mit diesem Bitbucket-Konto bei Ihrem Konto anmelden.',
    warning: 'Fahren Sie nur fort, wenn beide Konten Ihnen gehören.',
    submit: 'Verbinden',
  },
  choose: {
    heading: 'Sie sind schon angemeldet',
    intro:
      'Dieses Bitbucket-Konto ist hier neu. Sie können es mit dem Konto verbinden, bei dem Sie angemeldet sind, oder sich dort abmelden und mit Bitbucket anmelden.',
    introWithoutLink:
      'Dieses Bitbucket-Konto gehört nicht zu dem Konto, bei dem Sie angemeldet sind. Sie können sich dort abmelden und mit Bitbucket anmelden.',
    link: 'Mit {account} verbinden',
    switch: 'Stattdessen mit Bitbucket anmelden',
    stay: 'Nichts ändern',
  },
  switch: {
    heading: 'Konto wechseln?',
    intro:
      'Dieses Bitbucket-Konto gehört nicht zu dem Konto, bei dem Sie angemeldet sind. Wenn Sie wechseln, werden Sie dort zuerst abgemeldet.',
    submit: 'Konto wechseln',
    stay: 'Angemeldet bleiben',
  },
  link: {
    heading: 'Ihre Verbindung zu Bitbucket',
    signedInAs: 'Sie sind als {account} angemeldet.',
    linked: 'Verbundene Bitbucket-Konten',
    none: 'Noch ist kein Bitbucket-Konto verbunden. Verbinden Sie eines, dann können Sie sich damit anmelden.',
    submit: 'Bitbucket-Konto verbinden',
    unlink: 'Trennen',
  },
  reauthenticate: {
    heading: 'Sind Sie es wirklich?',
    intro:
      'Sie sind als {account} angemeldet. Zum Schutz Ihres Kontos bestätigen Sie das bitte mit Bitbucket, bevor es weitergeht.',
    submit: 'Mit Bitbucket bestätigen',
    other: 'Auf anderem Weg bestätigen',
  },
  membership: {
    heading: 'Sind Sie noch Mitglied?',
    intro:
      'Sie sind als {account} angemeldet. Diese Seite ist nur für Mitglieder unseres Bitbucket-Workspace. Bitte bestätigen Sie mit Bitbucket, dass Sie noch Mitglied sind.',
    submit: 'Mit Bitbucket bestätigen',
    goOnHint: 'Ist Bitbucket nicht erreichbar? Sie können vorerst weitermachen und später bestätigen.',
    goOn: 'Ohne Bestätigung fortfahren',
  },
  signInAgain: {
    heading: 'Bitte melden Sie sich noch einmal an',
    intro:
      'Sie sind als {account} angemeldet. Zum Schutz Ihres Kontos melden Sie sich bitte ab und wieder an; danach geht es hier weiter.',
    submit: 'Abmelden und neu anmelden',
    otherHeading: 'Die Konten wurden nicht verbunden',
    otherAccount:
      'Das Konto, bei dem Sie sich angemeldet haben, ist nicht das mit der E‑Mail‑Adresse des Bitbucket-Kontos, oder eines von beiden hat sich geändert. Um das richtige zu verbinden, melden Sie sich ab, noch einmal mit Bitbucket an und dann bei jenem Konto.',
  },
  resume: {
    heading: 'Einen Moment bitte',
    link: 'Weiter',
  },
}
