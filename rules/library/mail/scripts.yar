// Scripts and command lines that fetch or start programs, in attachments and in what they contain.

rule program_in_base64
{
    meta:
        id = "HY-0501"
        version = "1"
        title_en = "Program written as text (base64)"
        title_ar = "برنامج مكتوب على هيئة نص (base64)"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $mz = /T(VqQAAMAAAAEAAAA|VpQAAIAAAAEAA8A|VoAAAAAAAAAAAAA|VqAAAEAAAAEABAA|VpBUlVIieVIgew)/
        $dos = "This program cannot be run in DOS mode" base64 base64wide
        $reversed = "AAAAEAAAAMAAQqVT"
        $hex = "4d5a90000300000004000000ffff" nocase
    condition:
        part != "header" and ($mz or $reversed or $hex or ($dos and uint16be(0) != 0x4D5A))
}

rule powershell_encoded
{
    meta:
        id = "HY-0502"
        version = "1"
        title_en = "PowerShell command in encoded form"
        title_ar = "أمر PowerShell بصيغة مرمّزة"
        disposition = "hold"
        threat = "executable"
    strings:
        $encoded = /\b(powershell|pwsh)(\.exe)?["']?\s[^\r\n]{0,200}(-|\/|\xe2\x80\x93)e(c|nc[a-z]{0,12})?["']?\s{1,20}["']?[A-Za-z0-9+\/=]{40}/ nocase
        $wide = "powershell" nocase wide
        $wide_enc = /-\x00e\x00(n\x00(c\x00)?)?([a-z]\x00){0,12}\s\x00([A-Za-z0-9+\/=]\x00){40}/ nocase
        $from64 = /FromBase64String\s?\(["'][A-Za-z0-9+\/=]{60}/ nocase
        $invoke = /\b(iex|invoke-expression)\b/ nocase
    condition:
        part != "body" and ($encoded or ($wide and $wide_enc) or ($from64 and $invoke))
}

rule powershell_download
{
    meta:
        id = "HY-0503"
        version = "2"
        title_en = "PowerShell that fetches and runs"
        title_ar = "أمر PowerShell يجلب تعليمات ويشغّلها"
        disposition = "hold"
        threat = "executable"
    strings:
        $get1 = /\.download(string|file|data)\s?\(/ nocase
        $get2 = /\b(invoke-webrequest|invoke-restmethod|start-bitstransfer)\b/ nocase
        $get3 = /\b(iwr|irm)\s{1,4}["'(-]{0,2}(https?:|uri\b|u\b|\$)/ nocase
        $run1 = /\biex\b/ nocase
        $run2 = "invoke-expression" nocase
        $run3 = "start-process" nocase
        $run4 = /-w(indowstyle)?\s{1,4}hid(den)?/ nocase
        $shell = /\b(powershell|pwsh)\b/ nocase
        $client = "net.webclient" nocase
    condition:
        part != "body" and any of ($get*) and any of ($run*) and ($shell or $client or extension == "ps1")
}

rule living_off_the_land
{
    meta:
        id = "HY-0504"
        version = "1"
        title_en = "Command line that fetches code with the system's own tools"
        title_ar = "سطر أوامر يجلب تعليمات بأدوات النظام نفسه"
        disposition = "hold"
        threat = "executable"
    strings:
        $certutil = /\bcertutil(\.exe)?["']?\s[^\r\n]{0,60}-(urlcache|decode|decodehex)\b/ nocase
        $mshta = /\bmshta(\.exe)?["']?\s{1,6}["']?(https?:|javascript:|vbscript:|\\\\)/ nocase
        $regsvr = /\bregsvr32(\.exe)?["']?\s[^\r\n]{0,60}\/i:["']?(https?:|\\\\)/ nocase
        $rundll = /\brundll32(\.exe)?["']?\s{1,6}(javascript:|\\\\[^\r\n]{3,120},|url\.dll,\s?(openurl|fileprotocolhandler))/ nocase
        $bits = /\bbitsadmin(\.exe)?["']?\s[^\r\n]{0,40}\/transfer\b[^\r\n]{0,120}https?:/ nocase
        $msiexec = /\bmsiexec(\.exe)?["']?\s[^\r\n]{0,40}(\/i|\/package|-i)\s{1,4}["']?https?:/ nocase
        $curl = /\bcurl(\.exe)?["']?\s[^\r\n]{0,80}https?:[^\r\n]{1,200}(-o|--output)\s[^\r\n]{1,120}(&&|&|;|\|)/ nocase
        $wmic = /\bwmic(\.exe)?["']?\s[^\r\n]{0,40}process\s{1,4}call\s{1,4}create/ nocase
        $wmic_xsl = /\bwmic(\.exe)?["']?\s[^\r\n]{0,60}\/format:["']?https?:/ nocase
        $finger = /\bforfiles(\.exe)?["']?\s[^\r\n]{0,80}\/c\s{1,4}["']?[^\r\n]{0,20}(powershell|cmd|mshta)/ nocase
    condition:
        part != "body" and any of them
}

rule script_host_dropper
{
    meta:
        id = "HY-0505"
        version = "1"
        title_en = "Script that fetches or writes a program and starts it"
        title_ar = "نص برمجي يجلب برنامجًا أو يكتبه ثم يشغّله"
        disposition = "hold"
        threat = "executable"
    strings:
        $run1 = "wscript.shell" nocase
        $run2 = "shell.application" nocase
        $run3 = "winmgmts:" nocase
        $host = /\b(WScript|ActiveXObject|CreateObject|GetObject)\b/ nocase
        $get1 = /msxml2\.(server)?xmlhttp/ nocase
        $get2 = "microsoft.xmlhttp" nocase
        $get3 = "winhttp.winhttprequest" nocase
        $write1 = "adodb.stream" nocase
        $write2 = "savetofile" nocase
        $write3 = "scripting.filesystemobject" nocase
        $start = /\.(run|exec|shellexecute)\s?\(/ nocase
    condition:
        part != "body" and $host and any of ($run*) and (any of ($get*) or 2 of ($write*)) and $start
}

rule html_application
{
    meta:
        id = "HY-0506"
        version = "1"
        title_en = "HTML application"
        title_ar = "تطبيق HTML تنفيذي (HTA)"
        disposition = "hold"
        threat = "executable"
    strings:
        $hta = "<hta:application" nocase
        $vbs = /<script[^>]{0,80}language\s?=\s?["']?(vbscript|jscript)/ nocase
        $object = /(wscript\.shell|shell\.application|new activexobject)/ nocase
    condition:
        part != "body" and ($hta or ($vbs and $object))
}

rule obfuscated_script
{
    meta:
        id = "HY-0507"
        version = "1"
        title_en = "Script that hides what it runs"
        title_ar = "نص برمجي يخفي ما يشغّله"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $eval = /\b(eval|execute|executeglobal|new function|settimeout)\s?\(/ nocase
        $hide1 = /String\.fromCharCode\s?\((\s?(0x[0-9a-f]{1,4}|\d{1,5})\s?,){20}/ nocase
        $hide2 = /unescape\s?\(\s?["'](%u?[0-9a-f]{2,4}){20}/ nocase
        $hide3 = /(chr(w|b)?\(\s?(&h[0-9a-f]{2}|\d{1,3})\s?\)\s?&\s?){12}/ nocase
        $hide4 = /(\\x[0-9a-f]{2}){60}/ nocase
        $encoded = "#@~^"
    condition:
        part != "body" and filesize < 5MB and
        (($eval and any of ($hide*)) or ($encoded and (extension matches /^(js|jse|vbs|vbe|wsf|hta|html?)$/i or $encoded at 0)))
}
