"""Table of the tokens that are known by their shape: (sign, pattern, provider).

The sign is a literal part of each match, in lower case, for the quick search. The patterns are the forms that
the providers document, a little shorter: tokens get cut, and their lengths change. A group named `shown` is
the part of a match that identifies and does not open, so it stays.

Ids of access keys (AKIA…) are not here: they say which key it is, and nobody signs with them.
"""

from typing import NamedTuple

# No letter or digit comes before a token that only two letters identify, unless it ends an escape.
START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"


class Sign(NamedTuple):
    """A literal part of a secret, in lower case, the pattern of the whole, and its provider.

    Several signs, one of which each match has, have `|` between them.
    """

    sign: str
    pattern: str
    provider: str


# A slash in URLs, also within a JSON pointer, a JSON string, or a query.
_SLASH = r"(?:/|\\/|~1|%2[Ff])"

TOKENS = (
    Sign("abskq", r"ABSKQ[\w+/=]{24,}", "AWS"),
    Sign("aiza", r"AIza[\w-]{20,}", "Google"),
    Sign("gocspx-", r"GOCSPX-[\w-]{16,}", "Google"),
    Sign("ya29.", r"ya29\.[\w.-]{16,}", "Google"),
    Sign("1//0", r"1//0[\w-]{20,}", "Google"),
    Sign(":apa91b", r"[\w-]{6,20}:APA91b[\w-]{30,}", "Google"),
    Sign("8q~", START + r"[\w~.-]{0,4}8Q~[\w~.-]{30,}", "Azure"),
    Sign(
        "webhook.office.com", rf"(?P<shown>webhook\.office\.com{_SLASH}\w{{5,12}}{_SLASH})[\w@/~-]++", "Azure"
    ),
    Sign("ghp_", r"ghp_\w{16,}", "GitHub"),
    Sign("gho_", r"gho_\w{16,}", "GitHub"),
    Sign("ghu_", r"ghu_\w{16,}", "GitHub"),
    Sign("ghs_", r"ghs_\w{16,}", "GitHub"),
    Sign("ghr_", r"ghr_\w{16,}", "GitHub"),
    Sign("github_pat_", r"github_pat_\w{16,}", "GitHub"),
    Sign("glpat-", r"glpat-[\w.-]{16,}", "GitLab"),
    Sign("glffct-", r"glffct-[\w-]{16,}", "GitLab"),
    Sign("glft-", r"glft-[\w-]{16,}", "GitLab"),
    Sign("glimt-", r"glimt-[\w-]{16,}", "GitLab"),
    Sign("gloas-", r"gloas-[\w-]{16,}", "GitLab"),
    Sign("gldt-", r"gldt-[\w-]{16,}", "GitLab"),
    Sign("glrt", r"glrtr?-[\w-]{16,}", "GitLab"),
    Sign("glptt-", r"glptt-[\w-]{16,}", "GitLab"),
    Sign("glcbt-", r"glcbt-[\w-]{16,}", "GitLab"),
    Sign("glagent-", r"glagent-[\w-]{16,}", "GitLab"),
    Sign("glsoat-", r"glsoat-[\w-]{16,}", "GitLab"),
    Sign("glwt-", r"glwt-[\w-]{16,}", "GitLab"),
    Sign("glsa_", r"glsa_\w{16,}", "Grafana"),
    Sign("glc_", r"glc_[\w+/=-]{16,}", "Grafana"),
    Sign("xox", r"xox[a-z][-.][\w.-]{8,}", "Slack"),
    Sign("xapp-", r"xapp-[\w-]{8,}", "Slack"),
    Sign(
        "hooks.slack.com", rf"(?P<shown>hooks\.slack\.com{_SLASH}[a-z]{{1,20}}{_SLASH})[\w/~%\\-]++", "Slack"
    ),
    Sign(
        "mta|mte|mti|mtm|mtq",
        START + r"MT[AEIMQ][A-Za-z0-9]{20,25}\.[\w-]{6}\.[\w-]{27,40}(?![\w.-])",
        "Discord",
    ),
    Sign("webhooks", rf"(?P<shown>{_SLASH}api{_SLASH}webhooks{_SLASH}\d{{1,20}}{_SLASH})[\w-]++", "Discord"),
    Sign(
        "api.telegram.org",
        rf"(?P<shown>api\.telegram\.org{_SLASH}(?:file{_SLASH})?bot\d{{1,12}}(?::|%3[Aa]))[\w-]++",
        "Telegram",
    ),
    Sign(":aa", r"\d{8,10}:AA[\w-]{30,}", "Telegram"),
    Sign("k_live_", r"[sr]k_live_\w{8,}", "Stripe"),
    Sign("k_test_", r"[sr]k_test_\w{8,}", "Stripe"),
    Sign("whsec_", r"whsec_[\w+/=]{16,}", "Stripe"),
    Sign("eaaa", START + r"EAAA[\w-]{56,}", "Square"),
    Sign("sq0", r"sq0(?:csp|atp|idp)-[\w-]{20,}", "Square"),
    Sign("access_token$", r"(?P<shown>access_token\$\w{4,12}\$\w{8,20}\$)[0-9a-f]{32}", "PayPal"),
    Sign("shpat_", r"shpat_[0-9a-fA-F]{16,}", "Shopify"),
    Sign("shpca_", r"shpca_[0-9a-fA-F]{16,}", "Shopify"),
    Sign("shppa_", r"shppa_[0-9a-fA-F]{16,}", "Shopify"),
    Sign("shpss_", r"shpss_[0-9a-fA-F]{16,}", "Shopify"),
    Sign(
        "sk-",
        r"sk-(?:ant|proj|svcacct|admin|or|lf)-[\w-]{8,}|" + START + r"sk-\w{20,}",
        "OpenAI, Anthropic, Langfuse",
    ),
    Sign("hf_", r"hf_[A-Za-z0-9]{20,}", "Hugging Face"),
    Sign("gsk_", r"gsk_\w{20,}", "Groq"),
    Sign("nvapi-", r"nvapi-[\w-]{40,}", "NVIDIA"),
    Sign("xai-", r"xai-\w{20,}", "xAI"),
    Sign("pplx-", r"pplx-\w{20,}", "Perplexity"),
    Sign("r8_", START + r"r8_\w{30,}", "Replicate"),
    Sign("lsv2_", r"lsv2_(?:pt|sk)_\w{20,}", "LangSmith"),
    Sign("hvs.", r"hvs\.[\w-]{16,}", "HashiCorp"),
    Sign("hvb.", r"hvb\.[\w-]{16,}", "HashiCorp"),
    Sign("hvr.", r"hvr\.[\w-]{16,}", "HashiCorp"),
    Sign(' s.|"s.|=s.', r"(?<=[\s\"'=])s\.(?=\w{0,23}\d)[A-Za-z0-9]{24}(?![\w.-])", "HashiCorp"),
    Sign(".atlasv1.", r"\w{10,20}\.atlasv1\.[\w-]{40,}", "HashiCorp"),
    Sign("dp.", START + r"dp\.[a-z]{2,5}\.\w{20,}", "Doppler"),
    Sign("pul-", START + r"pul-[0-9a-f]{40}", "Pulumi"),
    Sign("ops_eyj", r"ops_eyJ[\w-]{16,}", "1Password"),
    Sign("a3-", START + r"A3-[A-Z0-9]{6}(?:-[A-Z0-9]{5,11}){2,5}", "1Password"),
    Sign("age-secret-key", r"AGE-SECRET-KEY-1[0-9A-Z]{16,}", "age"),
    Sign("npm_", r"npm_[A-Za-z0-9]{20,}", "npm"),
    Sign("pypi-a", r"pypi-A[\w-]{20,}", "PyPI"),
    Sign("rubygems_", r"rubygems_[0-9a-f]{20,}", "RubyGems"),
    Sign("cio", START + r"cio[A-Za-z0-9]{32}(?!\w)", "crates.io"),
    Sign("dckr_", r"dckr_[po]at_[\w-]{16,}", "Docker"),
    Sign("akcp", START + r"AKCp\w{20,}", "JFrog"),
    Sign("cmvmdgtu", r"cmVmdGtu\w{20,}", "JFrog"),
    Sign("sqa_|sqp_|squ_", START + r"sq[apu]_[0-9a-f]{40}", "SonarQube"),
    Sign("sntry", r"sntry[su]_[\w+/=-]{16,}", "Sentry"),
    Sign("nrak-", r"NRAK-\w{16,}", "New Relic"),
    Sign("dt0", r"(?P<shown>dt0[a-z]\d{2}\.[A-Z0-9]{24}\.)[A-Z0-9]{20,}", "Dynatrace"),
    Sign("hcaik_|hcalk_|hcamk_|hcxik_", START + r"hca[a-z]k_\w{20,}", "Honeycomb"),
    Sign(
        "|".join(f"sk{digit}" for digit in "0123456789abcdef"),
        r"SK[0-9a-f]{32}(?!\w)(?<![A-Za-z0-9]SK[0-9a-f]{32})",
        "Twilio",
    ),
    Sign("02.id.", START + r"02\.id\.[\w-]{16,}", "Okta"),
    Sign("tfp_", START + r"tfp_\w{30,}", "Typeform"),
    Sign("sg.", r"SG\.[\w-]{16,}+\.[\w-]{16,}+", "SendGrid"),
    Sign("key-", START + r"key-[0-9a-f]{32}(?!\w)", "Mailgun"),
    Sign(
        "-us1|-us2|-us3|-us4|-us5|-us6|-us7|-us8|-us9", START + r"[0-9a-f]{32}-us\d{1,2}(?!\w)", "Mailchimp"
    ),
    Sign("xkeysib-", r"xkeysib-[0-9a-f]{20,}-\w{8,}", "Brevo"),
    Sign("pmak-", r"PMAK-[\w-]{16,}", "Postman"),
    Sign("lin_api_", r"lin_api_\w{16,}", "Linear"),
    Sign("ntn_", START + r"ntn_\w{16,}", "Notion"),
    Sign("secret_", START + r"secret_[A-Za-z0-9]{43}(?!\w)", "Notion"),
    Sign("atatt3", r"ATATT3[\w=-]{16,}", "Atlassian"),
    Sign("atbb", START + r"ATBB\w{28,}", "Atlassian"),
    Sign("figd_", r"figd_[\w-]{20,}", "Figma"),
    Sign("sl.u.|sl.b", START + r"sl\.(?:u\.)?[\w-]{100,}", "Dropbox"),
    Sign("eaa", START + r"EAA[A-Za-z0-9]{100,}", "Facebook"),
    Sign("sbp_", START + r"sbp_[0-9a-f]{40}", "Supabase"),
    Sign("pscale_", r"pscale_(?:tkn|pw|oauth)_[\w=.-]{16,}", "PlanetScale"),
    Sign("napi_", START + r"napi_\w{32,}", "Neon"),
    Sign("tskey-", r"tskey-[a-z]{2,10}-[\w-]{10,}", "Tailscale"),
    Sign("v1.0-", START + r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}", "Cloudflare"),
    Sign("sk.eyj", START + r"sk\.eyJ[\w-]{40,}\.[\w-]{20,}", "Mapbox"),
    Sign("bkua_", r"bkua_[0-9a-f]{40}", "Buildkite"),
    Sign("ccipat_", r"CCIPAT_\w{20,}", "CircleCI"),
    Sign("sdk-", START + r"(?:sdk|mob|api)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "LaunchDarkly"),
    Sign("dapi", r"dapi[0-9a-f]{32}", "Databricks"),
    Sign("doo_v1_|dop_v1_|dor_v1_", r"do[opr]_v1_[0-9a-f]{16,}", "DigitalOcean"),
    Sign("hrku-", r"HRKU-[\w-]{30,}", "Heroku"),
    Sign("nfp_", START + r"nfp_\w{30,}", "Netlify"),
    Sign("fm2_", START + r"fm[12]_[\w+/=-]{30,}", "Fly.io"),
    Sign("vca_|vci_|vck_|vcp_|vcr_", START + r"vc[aikpr]_\w{24,}", "Vercel"),
    Sign("pnu_", START + r"pnu_\w{30,}", "Prefect"),
    Sign("ser.", START + r"ser\.[A-Za-z0-9]{20,}", "Flagsmith"),
    # The key of a user of Ceph: 28 bytes, the first of which are its type and the time.
    Sign("aq", START + r"AQ[A-Za-z0-9+/]{30,36}==", "Ceph"),
    Sign(
        "sumologic.com",
        rf"(?P<shown>sumologic\.com{_SLASH}receiver{_SLASH}v1{_SLASH}http{_SLASH})[\w=-]{{20,}}",
        "Sumo Logic",
    ),
    Sign("loggly.com", rf"(?P<shown>loggly\.com{_SLASH}(?:inputs|bulk){_SLASH})[\w-]{{20,}}", "Loggly"),
    Sign("infura.io", rf"(?P<shown>infura\.io{_SLASH}(?:ws{_SLASH})?v3{_SLASH})[0-9a-f]{{32}}", "Infura"),
    Sign(
        "alchemy.com", rf"(?P<shown>alchemy\.com{_SLASH}(?:nft{_SLASH})?v[23]{_SLASH})[\w-]{{20,}}", "Alchemy"
    ),
    Sign("k10", START + r"K10[0-9a-f]{40,}(?:::[\w.-]{1,30}:[\w.-]{10,})?", "K3s"),
)
