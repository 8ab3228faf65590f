// Pages as attachments and bodies: smuggled files, stolen passwords, pictures with scripts.

rule html_smuggling
{
    meta:
        id = "HY-0601"
        version = "1"
        title_en = "Page that builds a file in the reader's browser"
        title_ar = "صفحة تركّب ملفًا داخل متصفح القارئ"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $script = "<script" nocase
        $decode1 = /\batob\s?\(/
        $decode2 = "Uint8Array"
        $decode3 = "charCodeAt"
        $decode4 = "FileReader"
        $build1 = /new\s{1,4}(Blob|File)\s?\(/
        $build2 = /window\s?\[\s?["']Blob["']\s?\]/
        $give1 = "createObjectURL"
        $give2 = "msSaveOrOpenBlob"
        $give3 = "msSaveBlob"
        $give4 = /\.download\s?=/
        $give5 = /setAttribute\s?\(\s?["']download["']/
        $give6 = /<a[^>]{1,200}\bdownload\s?=/ nocase
        $data = /href\s?=\s?["']data:application\/(octet-stream|zip|x-zip-compressed|x-msdownload|x-iso9660-image|vnd\.ms-[a-z.]{2,40});base64,[A-Za-z0-9+\/]{200}/ nocase
    condition:
        ($script and any of ($decode*) and any of ($build*) and any of ($give*)) or
        ($data and $give6)
}

rule html_page_in_code
{
    meta:
        id = "HY-0602"
        version = "1"
        title_en = "Page written by a script out of encoded text"
        title_ar = "صفحة يكتبها نص برمجي من نص مرمّز"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $write = /document\s?(\.|\[["'])(write|writeln)(["']\])?\s?\(\s?(window\.)?(atob|unescape|decodeURIComponent|decodeURI)\s?\(/ nocase
        $inner = /\.(innerHTML|outerHTML|srcdoc)\s?=\s?(window\.)?(atob|unescape|decodeURIComponent)\s?\(/ nocase
        $location = /(window|document|self|top)?\.?location(\.href|\.replace)?\s?(=|\()\s?(window\.)?atob\s?\(/ nocase
        $eval = /eval\s?\(\s?(window\.)?(atob|unescape|decodeURIComponent)\s?\(/ nocase
    condition:
        any of them
}

rule credential_form_elsewhere
{
    meta:
        id = "HY-0603"
        version = "1"
        title_en = "Page in the mail that sends a password elsewhere"
        title_ar = "صفحة في البريد ترسل كلمة المرور إلى مكان آخر"
        disposition = "hold"
        threat = "credential-theft"
    strings:
        $password1 = /<input[^>]{0,300}type\s?=\s?["']?password/ nocase
        $password2 = /type\s?=\s?["']?password["']?[^>]{0,300}>/ nocase
        $action = /<form[^>]{0,400}action\s?=\s?["']?\s{0,4}(https?:)?\/\// nocase
        $fetch = /(fetch|axios\.post|\$\.(post|ajax)|XMLHttpRequest|sendBeacon)\s?\(?/
        $url = /["'`]https?:\/\/[^"'`\s]{4,300}["'`]/
        $bot = /api\.telegram\.org\/bot|discord(app)?\.com\/api\/webhooks|formspree\.io|submit-form\.com|getform\.io|formsubmit\.co/ nocase
    condition:
        any of ($password*) and ($action or $bot or ($fetch and $url))
}

rule credential_form_local
{
    meta:
        id = "HY-0604"
        version = "1"
        title_en = "Page in the mail that asks for a password"
        title_ar = "صفحة في البريد تطلب كلمة مرور"
        disposition = "tag"
        threat = "credential-theft"
    strings:
        $password = /<input[^>]{0,300}type\s?=\s?["']?password/ nocase
    condition:
        $password
}

rule html_sends_to_chat_bot
{
    meta:
        id = "HY-0605"
        version = "1"
        title_en = "Page that reports to a chat bot"
        title_ar = "صفحة ترسل ما يُكتب فيها إلى برنامج محادثة"
        disposition = "hold"
        threat = "credential-theft"
    strings:
        $bot = /api\.telegram\.org\/bot[0-9]{6,12}:[A-Za-z0-9_-]{20}/ nocase
        $token = /sendMessage\?chat_id=/ nocase
        $hook = /discord(app)?\.com\/api\/webhooks\/[0-9]{10}/ nocase
        $script = "<script" nocase
    condition:
        $script and ($bot or $hook or $token)
}

rule page_jumps_at_once
{
    meta:
        id = "HY-0606"
        version = "1"
        title_en = "Attached page that jumps elsewhere at once"
        title_ar = "صفحة مرفقة تنتقل فورًا إلى مكان آخر"
        disposition = "hold"
        threat = "deceptive-link"
    strings:
        $html = /<(html|head|body|meta|script|!doctype html)/ nocase
        $refresh = /<meta[^>]{0,80}http-equiv\s?=\s?["']?refresh["']?[^>]{0,80}content\s?=\s?["']?\s?[0-3]\s?;\s?url\s?=\s?["']?(https?:|data:|javascript:)/ nocase
        $script = /<script[^>]{0,80}>\s{0,40}(window\.|document\.|self\.|top\.)?location(\.href)?\s?(=|\.replace\s?\(|\.assign\s?\()\s{0,4}["']https?:/ nocase
        $hash = /location(\.href)?\s?=\s?["']https?:[^"']{4,200}["']\s?\+\s?(window\.)?(btoa|location\.hash|email|user)/ nocase
    condition:
        part == "attachment" and $html and any of ($refresh, $script, $hash) and filesize < 64KB
}

rule data_page_link
{
    meta:
        id = "HY-0607"
        version = "1"
        title_en = "Link to a page that is inside the link"
        title_ar = "رابط يحمل الصفحة كلها في داخله"
        disposition = "hold"
        threat = "credential-theft"
    strings:
        $link = /(href|src|action)\s?=\s?["']?\s{0,4}data:text\/html[;,]/ nocase
        $svg = /href\s?=\s?["']?\s{0,4}data:image\/svg\+xml[;,][^"'>]{0,4000}(script|PHNjcmlwd)/ nocase
        $script = /href\s?=\s?["']?\s{0,4}(javascript|vbscript):/ nocase
        $script_act = /href\s?=\s?["']?\s{0,4}(javascript|vbscript):[^"'>]{0,400}(atob|eval|unescape|document\.write|location\s?=|fetch\()/ nocase
    condition:
        $link or $svg or ($script and $script_act)
}

rule svg_script
{
    meta:
        id = "HY-0608"
        version = "1"
        title_en = "Picture (SVG) with a script"
        title_ar = "صورة SVG فيها نص برمجي"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $svg = /<svg[\s>]/ nocase
        $script = /<script[\s>]/ nocase
        $event = /\son(load|click|error|mouseover|focus|begin)\s?=\s?["']/ nocase
        $foreign = /<foreignObject[\s>]/ nocase
        $frame = /<(iframe|embed|object|form|input|meta)[\s>]/ nocase
        $link = /xlink:href\s?=\s?["']\s{0,4}(javascript|data:text\/html)/ nocase
        $html = /<(html|!doctype html)/ nocase
    condition:
        $svg and not ($html in (0..512)) and part == "attachment" and
        ($script or $event or $link or ($foreign and $frame))
}
