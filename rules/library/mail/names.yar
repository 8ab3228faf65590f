// Names that hide what a file is. RFC 2183 names arrive decoded in the external `filename`.

rule double_extension
{
    meta:
        id = "HY-0401"
        version = "1"
        title_en = "Program named like a document"
        title_ar = "برنامج يتخفى باسم مستند"
        disposition = "hold"
        threat = "disguise"
    condition:
        filename matches /\.(pdf|docx?|docm|xlsx?|xlsm|pptx?|rtf|odt|ods|txt|csv|jpe?g|png|gif|tiff?|bmp|mp[34]|avi|html?|xml|zip|rar|7z|eml|msg|ics)[ ._-]{0,250}\.(exe|scr|com|pif|cpl|msi|bat|cmd|ps1|vbs|vbe|js|jse|wsf|wsh|hta|lnk|chm|jar|dll|iso|img|vhdx?|url|reg|sct|xll)$/i
}

rule double_extension_listed
{
    meta:
        id = "HY-0402"
        version = "1"
        title_en = "Archive with a program named like a document"
        title_ar = "أرشيف فيه برنامج يتخفى باسم مستند"
        disposition = "hold"
        threat = "disguise"
    strings:
        $magic = { 50 4B 03 04 }
        $rar = "Rar!\x1a\x07"
        $name = /\.(pdf|docx?|xlsx?|pptx?|rtf|txt|csv|jpe?g|png|gif|html?|zip)[ ._-]{0,250}\.(exe|scr|com|pif|cpl|msi|bat|cmd|ps1|vbs|vbe|js|jse|wsf|wsh|hta|lnk|chm|iso|img)([\x00-\x20]|PK|UT|\xff)/ nocase
    condition:
        ($magic at 0 or $rar at 0) and $name
}

rule reversed_name
{
    meta:
        id = "HY-0403"
        version = "1"
        title_en = "Name written backwards to hide its ending"
        title_ar = "اسم مكتوب معكوسًا لإخفاء امتداده"
        disposition = "hold"
        threat = "disguise"
    strings:
        // U+202E in the zip's own list of names, followed by a known ending within the name
        $listed = /PK\x01\x02[\x00-\xff]{42}[^\x00-\x1f]{0,120}\xe2\x80\xae[^\x00-\x1f]{1,80}\.[A-Za-z0-9]{2,4}/
    condition:
        filename contains "\xe2\x80\xae" or $listed
}

rule spaced_name
{
    meta:
        id = "HY-0404"
        version = "1"
        title_en = "Name padded so that its ending is out of sight"
        title_ar = "اسم محشو بالفراغات ليخرج امتداده عن النظر"
        disposition = "hold"
        threat = "disguise"
    condition:
        filename matches /[ \xa0_]{24,}\.[a-z0-9]{1,12}$/i
        or filename matches /(\xe2\x80[\x80-\x8b]|\xe3\x85\xa4|\xe2\xa0\x80){8,}/
}

rule bidi_in_header
{
    meta:
        id = "HY-0405"
        version = "1"
        title_en = "Header with a control that turns text around"
        title_ar = "ترويسة فيها محرف يعكس اتجاه النص"
        disposition = "tag"
        threat = "disguise"
    strings:
        // RIGHT-TO-LEFT OVERRIDE and LEFT-TO-RIGHT OVERRIDE; ordinary Arabic needs neither
        $override = /\xe2\x80[\xad\xae]/
        $encoded = /=\?utf-8\?q\?[^?]{0,200}=e2=80=a[de]/ nocase
        $rfc2231 = /name\*?[0-9]{0,2}\*=[^\r\n]{0,200}%e2%80%a[de]/ nocase
    condition:
        part == "header" and any of them
}

rule type_mismatch_program
{
    meta:
        id = "HY-0406"
        version = "1"
        title_en = "Program that says it is a picture or a document"
        title_ar = "برنامج يدّعي أنه صورة أو مستند"
        disposition = "hold"
        threat = "disguise"
    condition:
        uint16be(0) == 0x4D5A and filesize > 64 and uint32be(uint32(0x3C)) == 0x50450000 and
        (media_type matches /^(image|audio|video|text)\// or media_type == "application/pdf" or
         extension matches /^(pdf|docx?|xlsx?|pptx?|jpe?g|png|gif|txt|csv|rtf|html?)$/i)
}
