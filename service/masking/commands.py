"""Secrets in command lines, SQL and configuration, where an option or a place names them: (sign, pattern, of).

`mysql -pX`, `sshpass -p X`, `net user b X /add`, `IDENTIFIED BY 'X'`. The group named `secret` is masked, if it
could be a password; of a quoted one the quotes stay.
"""

from service.masking.tokens import Sign

# The words of one command: at most so many characters, so that time stays linear.
_GAP = r"[^\n|;&]{0,300}?"
_SPACE = r"[ \t\x1f]{1,20}"
_VALUE = r"(?P<secret>'[^'\n]{1,300}'|\"[^\"\n]{1,300}\"|[^\s'\"|;&<>]{1,300})"
# Quotes are escaped where a command stands within a JSON string.
_QUOTED = r"\\{0,3}['\"](?P<secret>[^'\"\n\\]{1,300})"


def _option(commands: str, options: str, glued: bool = False) -> str:
    between = rf"{_SPACE}|=" + ("|(?=[^\\s-])" if glued else "")
    return rf"\b(?:{commands})(?:\.exe)?\b{_GAP}{_SPACE}(?:{options})(?:{between}){_VALUE}"


COMMANDS = (
    Sign("mysql", rf"\bmysql[a-z]{{0,10}}\b{_GAP}{_SPACE}-p(?=[^\s-]){_VALUE}", "MySQL"),
    Sign("mariadb", rf"\bmariadb[a-z-]{{0,10}}\b{_GAP}{_SPACE}-p(?=[^\s-]){_VALUE}", "MySQL"),
    Sign("sshpass", _option("sshpass", "-p", glued=True), "sshpass"),
    Sign(
        "login",
        _option(
            "(?:docker|podman|nerdctl|buildah|skopeo|oras|crane|helm|registry)[ \\t\\x1f](?:registry[ \\t\\x1f])?login",
            "-p|--password",
        ),
        "Docker",
    ),
    Sign("-creds", rf"--(?:src-|dest-)?creds(?:=|{_SPACE})[^\s:]{{1,100}}:{_VALUE}", "Docker"),
    Sign("login", _option(r"az[ \t\x1f]login", "-p|--password"), "Azure"),
    Sign("twine", _option("twine", "-p"), "PyPI"),
    Sign("mongo", _option("mongo[a-z]{0,10}", "-p", glued=True), "MongoDB"),
    Sign("psexec", _option("psexec(?:64)?", "-p"), "Windows"),
    Sign("rdesktop", _option("rdesktop", "-p"), "Windows"),
    Sign("evil-winrm", _option("evil-winrm", "-p"), "Windows"),
    Sign("crackmapexec", _option("crackmapexec", "-p"), "Windows"),
    Sign("netexec", _option("netexec|nxc", "-p"), "Windows"),
    Sign("redis-cli", _option("redis-cli", "-a|--pass"), "Redis"),
    Sign("sqlcmd", _option("sqlcmd", "-P", glued=True), "SQL Server"),
    Sign("bcp", _option("bcp", "-P", glued=True), "SQL Server"),
    Sign("ipmitool", _option("ipmitool", "-P"), "IPMI"),
    Sign(
        "ldap",
        _option("ldap(?:search|add|modify|delete|passwd|whoami|compare|modrdn)", "-w", glued=True),
        "LDAP",
    ),
    Sign('zip -|"zip"|zip\x1f', rf"\bzip\b{_GAP}{_SPACE}-P{_SPACE}{_VALUE}", "archives"),
    Sign('unzip -|"unzip"|unzip\x1f', rf"\bunzip\b{_GAP}{_SPACE}-P{_SPACE}{_VALUE}", "archives"),
    Sign("7z", rf"\b7z[a-z]?{_SPACE}[a-z]{{1,3}}\b{_GAP}{_SPACE}-p(?=\S{{3}}){_VALUE}", "archives"),
    Sign('rar |"rar"|rar\x1f', rf"\b(?:un)?rar\b{_GAP}{_SPACE}-h?p(?=\S{{3}}){_VALUE}", "archives"),
    Sign(
        "htpasswd",
        rf"\bhtpasswd\b{_GAP}{_SPACE}-[a-zA-Z]{{0,5}}b[a-zA-Z]{{0,5}}{_SPACE}\S{{1,200}}{_SPACE}\S{{1,100}}{_SPACE}{_VALUE}",
        "Apache",
    ),
    Sign("openssl", _option("openssl", "-k|-K"), "OpenSSL"),
    Sign("-pass", rf"-pass(?:in|out)?{_SPACE}pass:{_VALUE}", "OpenSSL"),
    Sign(
        "chpasswd",
        r"['\"]?\b[\w.-]{1,60}:(?P<secret>[^\s'\"|:]{1,200})['\"]?\s{0,5}\|\s{0,5}(?:sudo\s)?chpasswd",
        "Linux",
    ),
    Sign(
        "sudo",
        r"\becho\s{1,5}(?:-n\s)?(?P<secret>'[^'\n]{1,200}'|\"[^\"\n]{1,200}\"|[^\s|'\"]{1,200})\s{0,5}\|\s{0,5}sudo\s{1,5}-\w{0,5}S",
        "Linux",
    ),
    Sign(
        "--stdin",
        r"\becho\s{1,5}(?:-n\s)?(?P<secret>'[^'\n]{1,200}'|\"[^\"\n]{1,200}\"|[^\s|'\"]{1,200})\s{0,5}\|\s{0,5}(?:sudo\s)?passwd\s",
        "Linux",
    ),
    Sign(
        'net us|net  us|net\tus|net.exe|net1|"net"|net\x1fus',
        rf"\bnet1?(?:\.exe)?[\"']?{_SPACE}user{_SPACE}(?!/)(?:\"[^\"]{{1,100}}\"|\S{{1,100}}){_SPACE}(?![/*]){_VALUE}",
        "Windows",
    ),
    Sign(
        'net us|net  us|net\tus|net.exe|net1|"net"|net\x1fus',
        rf"\bnet1?(?:\.exe)?[\"']?{_SPACE}use{_SPACE}(?:[A-Za-z*]:?{_SPACE})?\\\\\S{{1,200}}{_SPACE}(?:/user:\S{{1,100}}{_SPACE})?(?![/*]){_VALUE}",
        "Windows",
    ),
    Sign(
        'reg add|reg  add|reg.exe|"reg"|reg\x1fadd',
        rf"\breg(?:\.exe)?[\"']?{_SPACE}add\b{_GAP}/v{_SPACE}\"?\w{{0,40}}(?i:pass|pwd|secret)\w{{0,40}}\"?(?!\w){_GAP}/d{_SPACE}{_VALUE}",
        "Windows",
    ),
    Sign(
        'reg add|reg  add|reg.exe|"reg"|reg\x1fadd',
        rf"\breg(?:\.exe)?[\"']?{_SPACE}add\b{_GAP}/d{_SPACE}{_VALUE}{_GAP}/v{_SPACE}\"?\w{{0,40}}(?i:pass|pwd|secret)",
        "Windows",
    ),
    Sign("mosquitto_", _option("mosquitto_(?:pub|sub|rr)", "-P"), "MQTT"),
    Sign("useradd|usermod", _option("useradd|usermod", "-p"), "Linux"),
    Sign(
        "rabbitmqctl",
        rf"\brabbitmqctl{_SPACE}(?:add_user|change_password){_SPACE}\S{{1,100}}{_SPACE}{_VALUE}",
        "RabbitMQ",
    ),
    Sign("snmp", _option("snmp[a-z]{2,10}", "-A"), "SNMP"),
    Sign("snmp", _option("snmp[a-z]{2,10}", "-X"), "SNMP"),
    Sign("hydra", _option("hydra", "-p"), "hydra"),
    Sign("cqlsh", _option("cqlsh", "-p"), "Cassandra"),
    Sign("isql|tsql", _option("isql|tsql", "-P", glued=True), "SQL Server"),
    Sign("mysqladmin", rf"\bmysqladmin\b{_GAP}{_SPACE}password{_SPACE}{_VALUE}", "MySQL"),
    Sign("lftp", rf"\blftp\b{_GAP}{_SPACE}-u{_SPACE}[^\s,]{{1,100}},{_VALUE}", "FTP"),
    Sign("ncftp", _option("ncftp[a-z]{0,4}", "-p"), "FTP"),
    Sign("ssh-keygen", _option("ssh-keygen", "-N|-P"), "SSH"),
    Sign("user-secrets", rf"\buser-secrets{_SPACE}set{_SPACE}[^\s-]\S{{0,100}}{_SPACE}{_VALUE}", ".NET"),
    Sign(
        "alias",
        rf"\bmc{_SPACE}alias{_SPACE}set{_SPACE}\S{{1,60}}{_SPACE}\S{{1,200}}{_SPACE}\S{{1,100}}{_SPACE}{_VALUE}",
        "MinIO",
    ),
    Sign(
        "expdp|impdp",
        rf"\b(?:expdp|impdp)\b{_GAP}{_SPACE}[\w$#.]{{1,60}}/(?P<secret>[^\s@/'\"]{{1,100}})@",
        "Oracle",
    ),
    Sign(
        "db2",
        rf"\bconnect{_SPACE}to\b{_GAP}{_SPACE}user{_SPACE}\S{{1,60}}{_SPACE}using{_SPACE}{_VALUE}",
        "Db2",
    ),
    Sign(".logon", rf"\.logon{_SPACE}[^\s,]{{1,100}},(?P<secret>[^\s;'\"]{{1,100}})", "Teradata"),
    Sign("certutil", _option("certutil", "-p"), "Windows"),
    Sign("signtool", _option("signtool", "/p"), "Windows"),
    Sign("/passwordd:|/passwordo:", rf"/password[do]:{_VALUE}", "Windows"),
    Sign("vmrun", _option("vmrun", "-gp|-vp"), "VMware"),
    Sign("_pw", rf"\b(?:user|owner|input)_pw{_SPACE}{_VALUE}", "archives"),
    Sign("rclone", rf"\brclone{_SPACE}obscure{_SPACE}(?!-){_VALUE}", "rclone"),
    Sign(
        "<<<",
        rf"(?:passwd|kinit|[Ll]ogin|--with-token|--[a-z-]{{0,20}}stdin)\b{_GAP}<<<(?:{_SPACE})?{_VALUE}",
        "here-strings",
    ),
    Sign(
        "impacket|.py",
        rf"(?:impacket-\w{{1,30}}|\b(?i:secretsdump|psexec|wmiexec|smbexec|atexec|dcomexec|GetUserSPNs|getTGT|getST|GetNPUsers)\.py)\b{_GAP}"
        rf"{_SPACE}['\"]?(?:[\w.-]{{1,60}}/)?[\w.$-]{{1,60}}:(?P<secret>[^\s'\"]{{1,100}})@",
        "Impacket",
    ),
    # In a sentence or a prompt, a password is told from a word by the digit within it.
    Sign(
        "password",
        r"\b[Pp]assword(?:[ \t\x1f](?:is|was|=>))?[ \t\x1f]"
        r"(?P<secret>(?=[^\s'\"]{0,60}\d)(?=[^\s'\"]{0,60}(?:[A-Za-z]\d{1,3}[A-Za-z]|[!@#$%^&*]))(?=[^\s'\"]{0,60}[A-Za-z])[^\s'\"=:/()\[\]{}]{8,60})(?![=:/()\w])",
        "sentences",
    ),
    Sign("schtasks", _option("schtasks", "/[rR][pP]"), "Windows"),
    Sign("/p:|/pass:|/password:", rf"(?<!\S)/p(?:ass(?:word)?)?:{_VALUE}", "Windows"),
    Sign("securestring", rf"ConvertTo-SecureString{_SPACE}(?:-String{_SPACE})?{_QUOTED}", "Windows"),
    Sign(
        "setx",
        rf"\bsetx{_SPACE}\w{{0,60}}(?i:pass|pwd|secret|token|key)\w{{0,20}}{_SPACE}{_VALUE}",
        "Windows",
    ),
    Sign("smbclient", _option("smbclient", r"-U{0,1}[ \t\x1f]{0,5}[^\s%]{1,100}%|-U{0}%"), "Samba"),
    Sign(
        "-u", rf"(?<!\S)(?:-U|--user){_SPACE}['\"]?[^\s%'\"]{{1,100}}%(?P<secret>[^\s'\"]{{1,200}})", "Samba"
    ),
    Sign("sqlplus", rf"\bsqlplus\b{_GAP}{_SPACE}[\w$#.]{{1,60}}/(?P<secret>[^\s@/'\"]{{1,100}})@", "Oracle"),
    Sign("jdbc:oracle", r"jdbc:oracle:\w{1,10}:[\w$#]{1,60}/(?P<secret>[^\s@/'\"]{1,100})@", "Oracle"),
    Sign(
        "aws configure",
        rf"\baws{_SPACE}configure{_SPACE}set{_SPACE}\S{{0,60}}(?:secret|token)\S{{0,40}}{_SPACE}{_VALUE}",
        "AWS",
    ),
    Sign(
        "securestring",
        rf"\baws{_SPACE}ssm{_SPACE}put-parameter\b{_GAP}SecureString{_GAP}--value(?:=|{_SPACE}){_VALUE}",
        "AWS",
    ),
    Sign("from-literal", rf"--from-literal(?:=|{_SPACE})[\w.-]{{1,100}}={_VALUE}", "Kubernetes"),
    Sign("vault login", rf"\bvault{_SPACE}login{_SPACE}(?!-)(?P<secret>[\w.-]{{20,200}})", "HashiCorp"),
    Sign("authtoken", rf"(?:_authToken|add-authtoken){_SPACE}{_VALUE}", "npm"),
    # Where a user comes first, `-p` is its password; `mysql -u ana -p shop` asks for one.
    Sign(
        "-p",
        r"(?:\A|(?<=[\n|;&]))(?:(?!mysql|mariadb|sudo|docker|podman|nerdctl)[^\n|;&]){1,300}?"
        rf"{_SPACE}(?:-u|--user|--username){_SPACE}[^\s-]\S{{0,100}}{_SPACE}-p{_SPACE}(?!\d{{1,5}}(?::|\s|\Z)){_VALUE}",
        "users",
    ),
    Sign("login", rf"\blogin{_SPACE}(?P<secret>[0-9a-f]{{32,64}})(?!\w)", "logins"),
    Sign("influx", _option("influx", "-t"), "InfluxDB"),
    Sign(
        "curl",
        rf"\bcurl\b{_GAP}{_SPACE}(?:-u|--user){_SPACE}[\"']?(?P<secret>(?=\w{{0,60}}\d)\w{{16,200}})"
        r"(?=:(?:[Xx]|x-oauth-basic)?[\"']?(?:\s|\Z))",
        "curl",
    ),
    Sign(
        "ejabberdctl",
        rf"\bejabberdctl{_SPACE}(?:register|change_password){_SPACE}\S{{1,100}}{_SPACE}\S{{1,100}}{_SPACE}{_VALUE}",
        "ejabberd",
    ),
    Sign("cargo login", rf"\bcargo{_SPACE}login{_SPACE}(?!-){_VALUE}", "crates.io"),
    Sign("reset-admin-password", rf"reset-admin-password{_SPACE}(?!-){_VALUE}", "Grafana"),
    Sign("rclone", rf"\brclone\b{_GAP}{_SPACE}pass{_SPACE}{_VALUE}", "rclone"),
    Sign("nmcli", rf"\bnmcli\b{_GAP}{_SPACE}password{_SPACE}{_VALUE}", "Linux"),
    Sign(
        "machine ",
        rf"\bmachine{_SPACE}\S{{1,200}}\s{{1,20}}login{_SPACE}\S{{1,200}}\s{{1,20}}password{_SPACE}{_VALUE}",
        "netrc",
    ),
    Sign("requirepass", rf"\brequirepass[\"']?,?{_SPACE}{_VALUE}", "Redis"),
    Sign("masterauth", rf"\bmasterauth{_SPACE}{_VALUE}", "Redis"),
    Sign(
        "auth",
        rf"(?:^|[\"'\n]){{1}}AUTH[\"']?{_SPACE}(?:[\"']\w{{1,40}}[\"']{_SPACE})?(?P<secret>\"[^\"\n]{{8,200}}\"|[\w!@#$%^*-]{{16,200}})(?=[\"'\s]|\Z)",
        "Redis",
    ),
    Sign("auth plain", r"\bAUTH (?:PLAIN|LOGIN) (?P<secret>[\w+/]{8,500}={0,2})", "SMTP"),
    Sign("auth login", r"\bAUTH LOGIN (?P<secret>(?=[A-Za-z]{0,40}[\d=])[\w+/]{8,500}={0,2})", "SMTP"),
    Sign("login", r"\b[A-Za-z]\w{0,10} LOGIN \S{1,100} \"(?P<secret>[^\"\n]{1,200})\"", "IMAP"),
    Sign("pass ", r"(?:^|> |\n)PASS (?!required)(?P<secret>[^\s;]{3,200})\s*(?:\Z|\n)", "FTP"),
    Sign("insecure-password", rf"\binsecure-password{_SPACE}{_VALUE}", "HAProxy"),
    Sign("login=", r"\blogin=[A-Za-z][\w.-]{0,60}:(?P<secret>[^\s\"']{1,200})", "Squid"),
    Sign(
        "]:",
        rf"\[[\w-]{{1,60}}\.[\w.-]{{1,200}}\]:\d{{1,5}}{_SPACE}[^\s:]{{1,100}}:(?P<secret>\S{{1,200}})",
        "Postfix",
    ),
    Sign("password", rf"\bpassword \"(?:Auth|Private Key)\"{_SPACE}{_VALUE}", "OpenVPN"),
    # Settings of network devices, whose words would be a sentence without the digit or sign in the value.
    Sign(
        "set ",
        rf"(?:\A|\n)[ \t]{{0,20}}set{_SPACE}(?:[^\n|;&=]{{0,200}}?{_SPACE})?[\w-]{{0,40}}(?:passwd|password|password-value|psksecret|secret|pre-shared-key|ascii-text)"
        rf"{_SPACE}(?:ENC{_SPACE})?(?=\S{{0,100}}[\d!@#$%^&*]){_VALUE}",
        "network devices",
    ),
    Sign(
        "neo4j_auth",
        r"NEO4J_AUTH[\"']?\s?[=:]\s?[\"']?\w{1,60}/(?P<secret>[^\s\"']{1,200})",
        "Neo4j",
    ),
    Sign("some(", rf"\b\w{{0,40}}(?:passw(?:or)?d|secret|token|api_key): Some\({_QUOTED}", "Rust"),
    Sign("stats auth", rf"\bstats{_SPACE}auth{_SPACE}[^\s:]{{1,100}}:{_VALUE}", "HAProxy"),
    Sign("secret", rf"\benable{_SPACE}secret{_SPACE}(?:\d{_SPACE})?(?P<secret>\S{{4,200}})", "Cisco"),
    Sign("password", rf"\bpassword{_SPACE}7{_SPACE}(?P<secret>[0-9A-Fa-f]{{4,100}})", "Cisco"),
    Sign("snmp-server community", rf"\bsnmp-server{_SPACE}community{_SPACE}{_VALUE}", "Cisco"),
    Sign(
        "identified",
        rf"\bIDENTIFIED{_SPACE}(?:WITH{_SPACE}\S{{1,60}}{_SPACE})?(?:BY|AS){_SPACE}(?:PASSWORD{_SPACE})?{_QUOTED}",
        "SQL",
    ),
    Sign(
        "password",
        rf"\b(?:PASSWORD|password)(?:{_SPACE}(?:FOR{_SPACE}\S{{1,100}}{_SPACE})?(?:=(?:{_SPACE})?)?|=(?:{_SPACE})?)"
        rf"(?:PASSWORD)?\(?N?{_QUOTED}",
        "SQL",
    ),
    Sign("password", rf"\b(?i:SET{_SPACE}PASSWORD{_SPACE}FROM){_SPACE}{_QUOTED}", "SQL"),
    Sign(
        "password",
        rf"\b(?i:SET{_SPACE}PASSWORD{_SPACE}FROM){_SPACE}['\"][^'\"\n]{{1,300}}['\"]{_SPACE}(?i:TO){_SPACE}{_QUOTED}",
        "SQL",
    ),
    Sign("passphrase", rf"\b[Pp]assphrase{_SPACE}{_QUOTED}", "sentences"),
    Sign(
        "passwd ",
        r"(?:^|\n)[ \t]{0,20}\w{0,30}[Pp]assw(?:or)?d[ \t]{1,20}(?P<secret>[^\s:=]{6,200})[ \t]{0,5}(?=\n|\Z)",
        "configuration",
    ),
    Sign("login attempt", r"login attempt \[[^\]/\n]{1,60}/(?P<secret>[^\]\n]{1,100})\]", "honeypots"),
    Sign(
        "curl",
        rf"\bcurl\b{_GAP}{_SPACE}-b{_SPACE}(?P<secret>'[^'\n=]{{1,60}}=[^'\n]{{1,300}}'|\"[^\"\n=]{{1,60}}=[^\"\n]{{1,300}}\")",
        "curl",
    ),
    Sign(
        "-u",
        r"(?<!\S)(?:-u|--user|--proxy-user)[ =\x1f]?[\"']?(?!\d{1,10}:\d)[^\s:\"']{1,100}:(?P<secret>[^\s\"']{1,300})",
        "curl",
    ),
    Sign(
        "http -a|https -a|http --auth|https --auth",
        rf"\bhttps?{_SPACE}(?:-a|--auth){_SPACE}[^\s:]{{1,100}}:(?P<secret>[^\s\"']{{1,300}})",
        "curl",
    ),
    Sign(
        "secret=",
        r"otpauth:\\?/\\?/[^\s?\"']{1,200}\?[^\s\"']{0,200}?secret=(?P<secret>[A-Za-z2-7=]{8,200})",
        "one-time codes",
    ),
)
