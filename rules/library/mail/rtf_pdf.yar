// Rich text and PDF that act by themselves or carry what they should not.

private rule rtf_file { condition: uint32be(0) == 0x7B5C7274 }

private rule pdf_file
{
    strings:
        $magic = "%PDF-"
    condition:
        // the relay hands over what stood compressed in a PDF's streams as a part of this type
        $magic in (0..1024) or media_type == "application/x-pdf-streams"
}

rule rtf_object_update
{
    meta:
        id = "HY-0201"
        version = "1"
        title_en = "Rich text with an object that loads by itself"
        title_ar = "نص منسّق فيه كائن يُحمَّل تلقائيًا"
        disposition = "hold"
        threat = "exploit"
    strings:
        $object = "\\objdata" nocase
        $update = "\\objupdate" nocase
        $autlink = "\\objautlink" nocase
    condition:
        rtf_file and $object and ($update or $autlink)
}

rule rtf_equation
{
    meta:
        id = "HY-0202"
        version = "1"
        title_en = "Rich text that calls the old equation editor"
        title_ar = "نص منسّق يستدعي محرّر المعادلات القديم"
        disposition = "hold"
        threat = "exploit"
    strings:
        $object = "\\objdata" nocase
        $name = "Equation.3" nocase
        $name_hex = /45\s?71\s?75\s?61\s?74\s?69\s?6f\s?6e\s?2e\s?33/ nocase
        $class_hex = /02ce020000000000c000000000000046/ nocase
        $class = { 02 CE 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $native_hex = /4500710075006100740069006f006e0020004e00610074006900760065/ nocase
    condition:
        (rtf_file and ($object or $name_hex) and ($name or $name_hex or $class_hex or $native_hex)) or
        (uint32be(0) == 0xD0CF11E0 and $class)
}

rule rtf_remote_template
{
    meta:
        id = "HY-0203"
        version = "1"
        title_en = "Rich text that fetches a template from elsewhere"
        title_ar = "نص منسّق يجلب قالبًا من مكان آخر"
        disposition = "hold"
        threat = "remote-content"
    strings:
        $template = /\{\\\*\\template\s{0,20}(https?:|ftp:|\\\\|\\u-?\d|\\'[0-9a-f]{2})/ nocase
        $include = /\\fldinst[^}]{0,60}INCLUDE(PICTURE|TEXT)\s{1,8}"?(https?:|\\\\|file:)[^}]{0,300}\\\\d/ nocase
    condition:
        rtf_file and ($template or $include)
}

rule rtf_package
{
    meta:
        id = "HY-0204"
        version = "1"
        title_en = "Rich text with an embedded file package"
        title_ar = "نص منسّق فيه ملف مضمّن داخل حزمة"
        disposition = "hold"
        threat = "disguise"
    strings:
        $object = "\\objdata" nocase
        // "Package" as the class name in the object's hexadecimal text
        $package = /0*8000000\s{0,2}5061636b616765(00)?/ nocase
        $class = /\\objclass\s{1,4}package/ nocase
    condition:
        rtf_file and $object and ($package or $class)
}

rule pdf_launch
{
    meta:
        id = "HY-0211"
        version = "1"
        title_en = "PDF that starts a program"
        title_ar = "ملف PDF يشغّل برنامجًا"
        disposition = "hold"
        threat = "exploit"
    strings:
        $launch = /\/S\s{0,8}\/Launch\b/
        $coded = /\/S\s{0,8}\/(L|#4c)(a|#61)(u|#75)(n|#6e)(c|#63)(h|#68)\b/ nocase
        $win = /\/Win\s{0,8}<</
        $file = /\/F\s{0,8}\(/
    condition:
        pdf_file and ($launch or $coded) and ($win or $file)
}

rule pdf_script_on_open
{
    meta:
        id = "HY-0212"
        version = "1"
        title_en = "PDF that runs a script when opened"
        title_ar = "ملف PDF يشغّل نصًا برمجيًا عند فتحه"
        disposition = "hold"
        threat = "exploit"
    strings:
        $open = /\/(OpenAction|AA)\b/
        $script = /\/S\s{0,8}\/JavaScript\b/
        $script_coded = /\/J(#61|a)(#76|v)(#61|a)(#53|S)(#63|c)(#72|r)(#69|i)(#70|p)(#74|t)\b/
        $act1 = "exportDataObject" nocase
        $act2 = "launchURL" nocase
        $act3 = "unescape(" nocase
        $act4 = "String.fromCharCode" nocase
        $act5 = "getAnnots" nocase
        $act6 = "util.printf" nocase
        $act7 = "Collab.collectEmailInfo" nocase
        $act8 = /\beval\s?\(/ nocase
    condition:
        pdf_file and $open and (($script and any of ($act*)) or ($script_coded and not $script))
}

rule pdf_script
{
    meta:
        id = "HY-0213"
        version = "1"
        title_en = "PDF with a script"
        title_ar = "ملف PDF فيه نص برمجي"
        disposition = "tag"
        threat = "exploit"
    strings:
        $script = /\/S\s{0,8}\/JavaScript\b/
        $js = /\/JS\s{0,8}(\(|\d{1,8}\s\d{1,5}\sR|<)/
    condition:
        pdf_file and ($script or $js)
}

rule pdf_embedded_program
{
    meta:
        id = "HY-0214"
        version = "1"
        title_en = "PDF with an embedded program or script"
        title_ar = "ملف PDF فيه برنامج أو نص تنفيذي مضمّن"
        disposition = "hold"
        threat = "executable"
    strings:
        $name = /\/U?F\s{0,8}\([^)]{1,160}\.(exe|scr|com|pif|cpl|bat|cmd|ps1|vbs|vbe|js|jse|wsf|hta|lnk|msi|jar|chm|docm|xlsm|settingcontent-ms|iso|img)\)/ nocase
    condition:
        pdf_file and $name
}

rule pdf_link_to_program
{
    meta:
        id = "HY-0215"
        version = "1"
        title_en = "PDF with a link to a program, a script or a bare address"
        title_ar = "ملف PDF فيه رابط إلى برنامج أو نص تنفيذي أو عنوان رقمي"
        disposition = "tag"
        threat = "deceptive-link"
    strings:
        $program = /\/URI\s{0,8}\(https?:\/\/[^)]{1,300}\.(exe|scr|msi|js|vbs|hta|lnk|iso|img|jar|bat|cmd|ps1|one|vhdx?)\)/ nocase
        $address = /\/URI\s{0,8}\(https?:\/\/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}[:\/)]/ nocase
        $punycode = /\/URI\s{0,8}\(https?:\/\/([a-z0-9-]{1,63}\.){0,6}xn--/ nocase
    condition:
        pdf_file and any of ($program, $address, $punycode)
}
