// Office documents that run code, fetch it, or hide it. A macro's source reaches these rules as a part of its own
// (unpacked by the relay) or inside the OLE file whose identifiers stand in clear.

private rule zip_file { condition: uint32be(0) == 0x504B0304 }

private rule ole_file { condition: uint32be(0) == 0xD0CF11E0 and uint32be(4) == 0xA1B11AE1 }

private rule office_xml
{
    strings:
        $types = "[Content_Types].xml"
    condition:
        zip_file and $types
}

rule vba_dropper
{
    meta:
        id = "HY-0101"
        version = "1"
        title_en = "Macro that runs by itself and starts or fetches a program"
        title_ar = "ماكرو يعمل تلقائيًا ويشغّل برنامجًا أو يجلبه"
        disposition = "hold"
        threat = "macro"
    strings:
        $source = "Attribute VB_Name" nocase
        $compressed = { 41 74 74 72 69 62 75 74 00 65 20 56 42 5F 4E 61 6D }
        $project = "_VBA_PROJECT" wide
        $sub = /\bsub\s+(auto_?open|auto_?exec|auto_?close|auto_?new|document_?open|document_?close|workbook_?open|workbook_?activate|workbook_?beforeclose)\s*\(/ nocase
        $auto1 = "autoopen" nocase fullword
        $auto2 = "auto_open" nocase fullword
        $auto3 = "autoexec" nocase fullword
        $auto4 = "autoclose" nocase fullword
        $auto5 = "document_open" nocase fullword
        $auto6 = "document_close" nocase fullword
        $auto7 = "workbook_open" nocase fullword
        $auto8 = "workbook_activate" nocase fullword
        $auto9 = "auto_close" nocase fullword
        $act_shell = "shell" nocase fullword
        $act_shellapp = "shell.application" nocase
        $act_run = "wscript.shell" nocase
        $act_download = "urldownloadtofile" nocase
        $act_http1 = /msxml2\.(server)?xmlhttp/ nocase
        $act_http2 = "winhttp.winhttprequest" nocase
        $act_stream = "adodb.stream" nocase
        $act_powershell = "powershell" nocase
        $act_cmd = /\bcmd(\.exe)?\s+\/[ckr]/ nocase
        $act_lol = /\b(mshta|certutil|regsvr32|rundll32|bitsadmin|wmic|msiexec)(\.exe)?[ "]/ nocase
        $act_wmi = "win32_process" nocase
        $act_memory = "virtualalloc" nocase
        $act_thread = "createthread" nocase
    condition:
        part != "body" and ($source or $compressed or $project or $sub or media_type == "text/x-vba")
        and ($sub or any of ($auto*)) and any of ($act*)
}

rule vba_present
{
    meta:
        id = "HY-0102"
        version = "1"
        title_en = "Office document with macros"
        title_ar = "مستند مكتبي فيه وحدات ماكرو"
        disposition = "tag"
        threat = "macro"
    strings:
        $member = "vbaProject.bin"
        $project = "_VBA_PROJECT" wide
        $compressed = { 41 74 74 72 69 62 75 74 00 65 20 56 42 5F 4E 61 6D }
    condition:
        (office_xml and $member) or (ole_file and ($project or $compressed)) or media_type == "text/x-vba"
}

rule dde_word
{
    meta:
        id = "HY-0103"
        version = "1"
        title_en = "Document field that starts a program (DDE)"
        title_ar = "حقل في مستند يشغّل برنامجًا (DDE)"
        disposition = "hold"
        threat = "macro"
    strings:
        $xml1 = /<w:instrText[^>]{0,200}>[^<]{0,60}\bDDE(AUTO)?\b/ nocase
        $xml2 = /w:instr="[^"]{0,60}\bDDE(AUTO)?\b/ nocase
        $split = /<w:instrText[^>]{0,200}>\s{0,20}D{1,2}E{0,1}\s{0,20}<\/w:instrText>/ nocase
        $doc = /\x13[\s\x00]{0,12}DDE(AUTO)?\s/ nocase
        $doc_wide = /\x13\x00[\x00\x0d\x20\x22]{0,12}D\x00D\x00E\x00[ aA]\x00/
        $rtf = /\\fldinst[^}]{0,120}\bDDE(AUTO)?\b/ nocase
    condition:
        part != "body" and
        (any of ($xml*) or ($split and #split > 1) or (ole_file and any of ($doc*)) or (uint32be(0) == 0x7B5C7274 and $rtf))
}

rule dde_sheet
{
    meta:
        id = "HY-0104"
        version = "1"
        title_en = "Spreadsheet link that starts a program (DDE)"
        title_ar = "ارتباط في جدول بيانات يشغّل برنامجًا (DDE)"
        disposition = "hold"
        threat = "macro"
    strings:
        $link = /ddeService="(cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript|msiexec|c:\\|\\\\)/ nocase
        $formula = /(^|[,;\t\n\r"])\s{0,8}["']?[=+@-]["']?(cmd|powershell|mshta|rundll32|regsvr32|wscript|msexcel|excel)(\.exe)?["']?\s?\|/ nocase
    condition:
        part != "body" and ($link or ($formula and not ole_file and not zip_file))
}

rule encrypted_office
{
    meta:
        id = "HY-0105"
        version = "1"
        title_en = "Office document that only a password opens"
        title_ar = "مستند مكتبي لا يُفتح إلا بكلمة مرور"
        disposition = "tag"
        threat = "smuggling"
    strings:
        $package = "EncryptedPackage" wide
        $info = "EncryptionInfo" wide
        $dataspaces = "DataSpaces" wide
        // BIFF8: the globals' BOF record, then soon FILEPASS (0x002F)
        $filepass = { 09 08 10 00 00 06 05 00 [12-40] 2F 00 (36 | 35 | 04 | 06 | 08 | C8) 00 }
        $workbook = "Workbook" wide
        $word97 = "WordDocument" wide
    condition:
        ole_file and
        ($package and ($info or $dataspaces) or ($workbook and $filepass) or
         ($word97 and (uint16(0x20A) & 0x0100) != 0 and uint16(0x200) == 0xA5EC))
}

rule excel4_dropper
{
    meta:
        id = "HY-0106"
        version = "1"
        title_en = "Excel 4 macro that runs by itself and starts a program"
        title_ar = "ماكرو إكسل 4 يعمل تلقائيًا ويشغّل برنامجًا"
        disposition = "hold"
        threat = "macro"
    strings:
        $sheet_xml = "<xm:macrosheet"
        $auto = /auto_?(open|close|activate)/ nocase
        $exec = /\b(EXEC|CALL|REGISTER|FORMULA\.FILL|FWRITE|FOPEN)\s?\(/
        $slk = /^ID;P/
        $slk_auto = /;N(N)?auto_?open/ nocase
        $slk_exec = /;E(EXEC|CALL)\(/ nocase
    condition:
        ($sheet_xml and $exec) or ($slk at 0 and ($slk_auto or $auto) and ($slk_exec or $exec))
}

rule excel4_sheet
{
    meta:
        id = "HY-0107"
        version = "1"
        title_en = "Spreadsheet with an Excel 4 macro sheet"
        title_ar = "جدول بيانات فيه ورقة ماكرو إكسل 4"
        disposition = "tag"
        threat = "macro"
    strings:
        $member = "xl/macrosheets/"
        $sheet_xml = "<xm:macrosheet"
        // BIFF8 BOUNDSHEET (0x0085): length, stream position, visibility, type 1 = macro sheet
        $boundsheet = { 85 00 ?? 00 ?? ?? ?? 00 (00 | 01 | 02) 01 ?? (00 | 01) }
        $workbook = "Workbook" wide
    condition:
        (office_xml and $member) or $sheet_xml or (ole_file and $workbook and $boundsheet)
}

rule external_template
{
    meta:
        id = "HY-0108"
        version = "1"
        title_en = "Document that fetches its template or an object from elsewhere"
        title_ar = "مستند يجلب قالبه أو كائنًا فيه من مكان آخر"
        disposition = "hold"
        threat = "remote-content"
    strings:
        $relation = "<Relationship"
        $template1 = /Type="[^"]{1,160}\/(attachedTemplate|frame|subDocument|oleObject)"[^>]{0,40}Target="(https?:|ftp:|mhtml:|\\\\|file:\/\/([a-z0-9]|\/?\\\\))[^"]{0,400}"[^>]{0,40}TargetMode="External"/ nocase
        $template2 = /Target="(https?:|ftp:|mhtml:|\\\\|file:\/\/([a-z0-9]|\/?\\\\))[^"]{0,400}"[^>]{0,60}TargetMode="External"[^>]{0,60}Type="[^"]{1,160}\/(attachedTemplate|frame|subDocument|oleObject)"/ nocase
        $template3 = /TargetMode="External"[^>]{0,40}Target="(https?:|ftp:|mhtml:|\\\\|file:\/\/([a-z0-9]|\/?\\\\))[^"]{0,400}"[^>]{0,40}Type="[^"]{1,160}\/(attachedTemplate|frame|subDocument|oleObject)"/ nocase
    condition:
        $relation and any of ($template*)
}

rule protocol_handler
{
    meta:
        id = "HY-0109"
        version = "1"
        title_en = "Document or page that abuses a protocol handler"
        title_ar = "مستند أو صفحة تستغل معالج بروتوكول في النظام"
        disposition = "hold"
        threat = "exploit"
    strings:
        $msdt = /ms-msdt:\/?(id|-id)/ nocase
        $usc = /(mhtml|mshtml)?:?https?:\/\/[^"<> ]{3,200}!x-usc:/ nocase
        $search = /search-ms:[^"<>]{0,120}(crumb|query)=[^"<>]{0,200}location:/ nocase
        $moniker = /href\s?=\s?["']?file:\/{2,3}(\\\\|\/\/)?[^"'> ]{3,200}![a-z0-9]{1,40}/ nocase
        $officecmd = /ms-(word|excel|powerpoint|officecmd):[^"<> ]{0,20}(\||%7C)u(\||%7C)https?:\/\/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}/ nocase
    condition:
        any of them
}

rule ole_package_program
{
    meta:
        id = "HY-0110"
        version = "2"
        title_en = "Document with an embedded program or script"
        title_ar = "مستند فيه برنامج أو نص تنفيذي مضمّن"
        disposition = "hold"
        threat = "executable"
    strings:
        $native = "\x01Ole10Native" wide
        $native_rtf = "Package" nocase
        $named = /[^\x00-\x1f\\\/:]\.(exe|scr|com|pif|cpl|bat|cmd|ps1|vbs|vbe|js|jse|wsf|wsh|hta|lnk|msi|jar|chm|reg|dll|sct|url)\x00/ nocase
        $path = /[a-z]:\\[^\x00-\x1f]{1,200}\.(exe|scr|com|pif|cpl|bat|cmd|ps1|vbs|vbe|js|jse|wsf|wsh|hta|lnk|msi|jar|chm|reg|dll|sct|url)\x00/ nocase
        $mz = "This program cannot be run in DOS mode"
    condition:
        (ole_file and $native and ($named or $mz)) or
        // the native stream by itself: size, 02 00, label, path, ...
        (uint32(0) > 16 and uint32(0) <= filesize and uint16(4) == 2 and $named in (6..600)) or
        (ole_file and $native_rtf and $path and $named)
}

rule ole_package
{
    meta:
        id = "HY-0111"
        version = "1"
        title_en = "Document with an embedded file package"
        title_ar = "مستند فيه ملف مضمّن داخل حزمة"
        disposition = "tag"
        threat = "disguise"
    strings:
        $native = "\x01Ole10Native" wide
        $embedding = /(word|xl|ppt)\/embeddings\/(oleObject|package)[0-9]{0,6}\.bin/ nocase
        $progid = /ProgID="Package"/ nocase
    condition:
        (ole_file and $native) or (office_xml and $embedding) or $progid
}

rule slide_action_program
{
    meta:
        id = "HY-0112"
        version = "1"
        title_en = "Slide that starts a program when touched"
        title_ar = "شريحة عرض تشغّل برنامجًا عند لمسها"
        disposition = "hold"
        threat = "macro"
    strings:
        $action = /ppaction:\/\/(program|ole)/ nocase
        $hover = /<a:hlinkMouseOver[^>]{0,200}action="ppaction:\/\/(program|macro)/ nocase
        $target = /Target="[^"]{0,200}(powershell|cmd\.exe|mshta|wscript|cscript|rundll32|regsvr32)[^"]{0,400}"/ nocase
    condition:
        $hover or $target or ($action and filesize < 4MB)
}

rule vba_runs_by_itself
{
    meta:
        id = "HY-0113"
        version = "1"
        title_en = "Macro that runs by itself"
        title_ar = "ماكرو يعمل تلقائيًا عند فتح المستند"
        disposition = "tag"
        threat = "macro"
    strings:
        $source = "Attribute VB_Name" nocase
        $sub = /\bsub\s+(auto_?open|auto_?exec|auto_?close|auto_?new|document_?open|document_?close|workbook_?open|workbook_?activate|workbook_?beforeclose)\s*\(/ nocase
    condition:
        part != "body" and $source and $sub
}
