// Lures: words that hurry the reader, only ever together with a technical sign of deceit in the same text
// (bare address, punycode, name before @, shortener, free hosting, shown address that is not the real one).

private rule deceiving_link
{
    strings:
        $address = /https?:\/\/(\d{1,3}\.){3}\d{1,3}[:\/"'\s>?]/
        $number = /https?:\/\/(0x[0-9a-f]{8}|\d{9,10})[:\/"'\s>]/ nocase
        $punycode = /https?:\/\/([a-z0-9-]{1,63}\.){0,6}xn--[a-z0-9-]{2,60}/ nocase
        $userinfo = /https?:\/\/[a-z0-9._%-]{3,80}(:[^\/\s"'@]{0,40})?@[a-z0-9.-]{3,80}/ nocase
        $dotted = /https?:\/\/(www\.)?[a-z0-9-]{1,63}\.(gov|mil|edu)\.[a-z0-9.-]{2,60}\.(top|xyz|icu|click|shop|online|site|live|info|buzz|cfd|sbs|rest|monster|quest|tk|ml|ga|cf|gq)[\/"'\s>]/ nocase
        $data = /href\s?=\s?["']?data:text\/html/ nocase
    condition:
        any of them
}

private rule shortened_link
{
    strings:
        $short = /https?:\/\/(www\.)?(bit\.ly|tinyurl\.com|t\.ly|is\.gd|v\.gd|cutt\.ly|rebrand\.ly|shorturl\.at|rb\.gy|ow\.ly|s\.id|urlz\.fr|tiny\.cc|clck\.ru|goo\.su|surl\.li|qrco\.de|l\.ead\.me|linktr\.ee|bl\.ink|short\.gy|shrtco\.de|x\.gd|did\.li|kutt\.it)\// nocase
        $free = /https?:\/\/[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,2}\.(web\.app|firebaseapp\.com|pages\.dev|workers\.dev|r2\.dev|vercel\.app|netlify\.app|glitch\.me|repl\.co|replit\.app|weebly\.com|weeblysite\.com|wixsite\.com|000webhostapp\.com|blogspot\.com|ngrok\.io|ngrok-free\.app|trycloudflare\.com|duckdns\.org|godaddysites\.com|square\.site|webflow\.io|github\.io|surge\.sh|onrender\.com|codesandbox\.io|backblazeb2\.com|ipfs\.dweb\.link)[\/"'\s>]/ nocase
        $ipfs = /https?:\/\/[a-z0-9.-]{3,80}\/ipfs\/(Qm|baf)[a-zA-Z0-9]{20}/
        $redirect = /https?:\/\/[a-z0-9.-]{3,80}\/[^\s"'<>]{0,80}[?&](url|u|q|redirect|redir|dest|destination|target|next|goto|link|adurl)=https?(:|%3a)(\/|%2f){2}[^\s"'<>]{4}/ nocase
    condition:
        any of them
}

rule lure_arabic_deceiving_link
{
    meta:
        id = "HY-0701"
        version = "1"
        title_en = "Arabic message that hurries the reader to a disguised address"
        title_ar = "رسالة عربية تستعجل القارئ إلى عنوان متخفٍّ"
        disposition = "hold"
        threat = "deceptive-link"
    strings:
        $act1 = /تحديث\s{1,3}(بياناتك|بيانات|حسابك|معلوماتك|البيانات)/
        $act2 = /تأكيد\s{1,3}(هويتك|حسابك|بياناتك|الهوية|الحساب|بريدك)/
        $act3 = /(اضغط|انقر|أنقر|إضغط|اضغطي)\s{1,3}(هنا|على|علي|الرابط|أدناه)/
        $act4 = /(تسجيل|سجّل|سجل)\s{1,3}الدخول/
        $act5 = /(كلمة|كلمه)\s{1,3}(المرور|السر|سر)/
        $act6 = /(تفعيل|إعادة تفعيل|استعادة)\s{1,3}(حسابك|الحساب|البريد|بريدك)/
        $hurry1 = /(سيتم|سوف يتم|تم)\s{1,3}(إيقاف|ايقاف|تعليق|تعطيل|إغلاق|اغلاق|حذف|حظر)/
        $hurry2 = /(خلال|في غضون)\s{1,3}(24|48|72|٢٤|٤٨|٧٢|أربع وعشرين|ثمان وأربعين)/
        $hurry3 = /(عاجل|فورًا|فورا|على الفور|بشكل عاجل|حالًا)/
        $hurry4 = /(انتهت|ستنتهي|تنتهي|انتهاء)\s{1,3}(صلاحية|صلاحيه|مهلة)/
        $hurry5 = /(امتلأ|ممتلئ|امتلاء|تجاوزت|تجاوز)\s{0,3}(صندوق|بريدك|البريد|الحد|سعة|مساحة)/
        $hurry6 = /(آخر|اخر)\s{1,3}(تنبيه|إنذار|انذار|تذكير|موعد)/
    condition:
        part != "header" and any of ($act*) and any of ($hurry*) and deceiving_link
}

rule lure_arabic_shortened_link
{
    meta:
        id = "HY-0702"
        version = "1"
        title_en = "Arabic message that hurries the reader to a shortened or free address"
        title_ar = "رسالة عربية تستعجل القارئ إلى رابط مختصر أو مستضاف مجانًا"
        disposition = "tag"
        threat = "deceptive-link"
    strings:
        $act1 = /تحديث\s{1,3}(بياناتك|بيانات|حسابك|معلوماتك|البيانات)/
        $act2 = /تأكيد\s{1,3}(هويتك|حسابك|بياناتك|الهوية|الحساب|بريدك)/
        $act3 = /(اضغط|انقر|أنقر|إضغط|اضغطي)\s{1,3}(هنا|على|علي|الرابط|أدناه)/
        $act4 = /(تسجيل|سجّل|سجل)\s{1,3}الدخول/
        $act5 = /(كلمة|كلمه)\s{1,3}(المرور|السر|سر)/
        $act6 = /(تفعيل|إعادة تفعيل|استعادة)\s{1,3}(حسابك|الحساب|البريد|بريدك)/
        $act7 = /(شحنتك|طردك|جائزتك|مستحقاتك|الدعم المالي)/
        $hurry1 = /(سيتم|سوف يتم|تم)\s{1,3}(إيقاف|ايقاف|تعليق|تعطيل|إغلاق|اغلاق|حذف|حظر)/
        $hurry2 = /(خلال|في غضون)\s{1,3}(24|48|72|٢٤|٤٨|٧٢|أربع وعشرين|ثمان وأربعين)/
        $hurry3 = /(عاجل|فورًا|فورا|على الفور|بشكل عاجل|حالًا)/
        $hurry4 = /(انتهت|ستنتهي|تنتهي|انتهاء)\s{1,3}(صلاحية|صلاحيه|مهلة)/
        $hurry5 = /(امتلأ|ممتلئ|امتلاء|تجاوزت|تجاوز)\s{0,3}(صندوق|بريدك|البريد|الحد|سعة|مساحة)/
        $hurry6 = /(آخر|اخر)\s{1,3}(تنبيه|إنذار|انذار|تذكير|موعد)/
    condition:
        part != "header" and any of ($act*) and any of ($hurry*) and shortened_link
}

rule lure_english_deceiving_link
{
    meta:
        id = "HY-0703"
        version = "1"
        title_en = "Message that hurries the reader to a disguised address"
        title_ar = "رسالة إنكليزية تستعجل القارئ إلى عنوان متخفٍّ"
        disposition = "hold"
        threat = "deceptive-link"
    strings:
        $act1 = /(verify|confirm|validate|re-?activate|restore|update|unlock|upgrade)\s{1,3}(your|the|my)\s{1,3}([a-z-]{1,20}\s{1,3}){0,2}(account|mailbox|password|identity|information|e?-?mail|details|credentials|access)/ nocase
        $act2 = /(click|tap)\s{1,3}(here|below|on\s{1,3}the|the\s{1,3}(link|button))/ nocase
        $act3 = /(sign|log)[\s-]?in\s{1,3}(to|here|now|with|below|immediately|again)/ nocase
        $act4 = /(keep|use|continue\s{1,3}with)\s{1,3}(the\s)?(same|current)\s{1,3}password/ nocase
        $hurry1 = /(will|has|have)\s{1,3}be(en)?\s{1,3}([a-z]{1,20}\s{1,3}){0,2}(suspend|disabl|deactivat|terminat|clos|delet|block|lock|limit|restrict)/ nocase
        $hurry2 = /within\s{1,3}(the\s{1,3}next\s{1,3})?(12|24|48|72|twenty[\s-]?four|forty[\s-]?eight)\s{0,3}(hours|hrs|h\b)/ nocase
        $hurry3 = /(password|account|mailbox|session)\s{1,3}([a-z]{1,20}\s{1,3}){0,3}(expire|expiring|expiration)/ nocase
        $hurry4 = /(urgent(ly)?|immediate(ly)?|final\s{1,3}(notice|warning|reminder)|action\s{1,3}required|last\s{1,3}warning)/ nocase
        $hurry5 = /(mailbox|storage|quota|inbox)\s{1,3}([a-z]{1,20}\s{1,3}){0,3}(full|exceeded|limit)/ nocase
        $hurry6 = /unusual\s{1,3}(sign|log|activity|login|access)/ nocase
    condition:
        part != "header" and any of ($act*) and any of ($hurry*) and deceiving_link
}

rule lure_english_shortened_link
{
    meta:
        id = "HY-0704"
        version = "1"
        title_en = "Message about an account that leads to a shortened or free address"
        title_ar = "رسالة إنكليزية عن حساب تقود إلى رابط مختصر أو مستضاف مجانًا"
        disposition = "tag"
        threat = "deceptive-link"
    strings:
        $act1 = /(verify|confirm|validate|re-?activate|restore|update|unlock|upgrade)\s{1,3}(your|the|my)\s{1,3}([a-z-]{1,20}\s{1,3}){0,2}(account|mailbox|password|identity|e?-?mail|credentials|access)/ nocase
        $act2 = /(keep|use|continue\s{1,3}with)\s{1,3}(the\s)?(same|current)\s{1,3}password/ nocase
        $hurry1 = /(will|has|have)\s{1,3}be(en)?\s{1,3}([a-z]{1,20}\s{1,3}){0,2}(suspend|disabl|deactivat|terminat|clos|delet|block|lock|limit|restrict)/ nocase
        $hurry2 = /within\s{1,3}(the\s{1,3}next\s{1,3})?(12|24|48|72)\s{0,3}(hours|hrs|h\b)/ nocase
        $hurry3 = /(password|account|mailbox|session)\s{1,3}([a-z]{1,20}\s{1,3}){0,3}(expire|expiring|expiration)/ nocase
        $hurry4 = /(urgent(ly)?|immediate(ly)?|final\s{1,3}(notice|warning|reminder)|action\s{1,3}required|last\s{1,3}warning)/ nocase
        $hurry5 = /(mailbox|storage|quota|inbox)\s{1,3}([a-z]{1,20}\s{1,3}){0,3}(full|exceeded|limit)/ nocase
    condition:
        part != "header" and any of ($act*) and any of ($hurry*) and shortened_link
}

rule shown_address_differs
{
    meta:
        id = "HY-0705"
        version = "1"
        title_en = "Link shows a government address and leads to a bare or disguised one"
        title_ar = "رابط يُظهر عنوانًا حكوميًا ويقود إلى عنوان رقمي أو متخفٍّ"
        disposition = "hold"
        threat = "deceptive-link"
    strings:
        $bare = /<a\s[^>]{0,200}href\s?=\s?["']?https?:\/\/((\d{1,3}\.){3}\d{1,3}|([a-z0-9-]{1,63}\.){0,6}xn--[a-z0-9-]{2,60}[a-z0-9.-]{0,80}|[a-z0-9._%-]{3,80}@[a-z0-9.-]{3,80})[^>]{0,400}>\s{0,20}(<[^>]{1,200}>\s{0,20}){0,4}(https?:\/\/|www\.)[a-z0-9.-]{3,100}/ nocase
        $short = /<a\s[^>]{0,200}href\s?=\s?["']?https?:\/\/(bit\.ly|tinyurl\.com|t\.ly|is\.gd|cutt\.ly|rebrand\.ly|shorturl\.at|rb\.gy|s\.id|tiny\.cc|clck\.ru)\/[^>]{0,200}>\s{0,20}(<[^>]{1,200}>\s{0,20}){0,4}(https?:\/\/|www\.)[a-z0-9.-]{1,100}\.(gov|mil|edu|example)\b/ nocase
    condition:
        part != "header" and any of them
}

rule bare_address_link
{
    meta:
        id = "HY-0706"
        version = "1"
        title_en = "Link to a bare network address"
        title_ar = "رابط إلى عنوان رقمي مجرد"
        disposition = "tag"
        threat = "deceptive-link"
    strings:
        $link = /href\s?=\s?["']?\s{0,4}https?:\/\/(\d{1,3}\.){3}\d{1,3}([:\/"'\s>?#]|$)/ nocase
        $number = /href\s?=\s?["']?\s{0,4}https?:\/\/(0x[0-9a-f]{8}|\d{9,10})[:\/"'\s>]/ nocase
        $userinfo = /href\s?=\s?["']?\s{0,4}https?:\/\/[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,4}(:[^\/\s"'@]{0,40})?@[a-z0-9.-]{3,80}/ nocase
    condition:
        part != "header" and any of them
}

rule words_cut_by_invisible_characters
{
    meta:
        id = "HY-0707"
        version = "1"
        title_en = "Words cut by invisible characters"
        title_ar = "كلمات مقطّعة بمحارف خفية"
        disposition = "tag"
        threat = "disguise"
    strings:
        // zero width space, word joiner, soft hyphen or Mongolian separator between two Latin letters
        $latin = /[A-Za-z](\xe2\x80\x8b|\xe2\x81\xa0|\xc2\xad|\xe1\xa0\x8e)[A-Za-z]/
        $coded = /[A-Za-z](&#(8203|8288|173|x200b|x2060|xad);|&(shy|ZeroWidthSpace|NoBreak);)[A-Za-z]/ nocase
        // between two Arabic letters (U+0620 to U+064A); the zero width non-joiner is ordinary there and not counted
        $arabic = /[\xd8\xd9][\x80-\xbf](\xe2\x80\x8b|\xe2\x81\xa0|\xc2\xad)[\xd8\xd9][\x80-\xbf]/
        $link = /https?:\/\// nocase
    condition:
        part != "header" and $link and #latin + #coded + #arabic > 12
}

rule code_drawn_with_characters
{
    meta:
        id = "HY-0708"
        version = "1"
        title_en = "Matrix code drawn with characters"
        title_ar = "رمز مربع مرسوم بالمحارف"
        disposition = "tag"
        threat = "deceptive-link"
    strings:
        $row = /((\xe2\x96[\x80-\x93\xa0-\xa1]|\xe2\xac[\x9b\x9c]|\xc2\xa0| |&#(9600|9604|9608|x2580|x2584|x2588);){19,120}(<br[^>]{0,10}>|<\/(div|p|span|td|tr)>|\r?\n)\s{0,80}(<[^>]{1,200}>\s{0,40}){0,4}(\xe2\x96|\xe2\xac|&#)[^a-z]{1,8}){1}/ nocase
        $block1 = { E2 96 88 E2 96 88 }
        $block2 = { E2 96 84 E2 96 }
        $block3 = { E2 96 80 E2 96 }
        $cells = /(<td[^>]{0,80}(bgcolor|background(-color)?)\s?[=:]\s?["']?(#000(000)?|black|#fff(fff)?|white)[^>]{0,80}>\s{0,4}(&nbsp;)?\s{0,4}<\/td>\s{0,4}){19}/ nocase
    condition:
        part != "header" and ((#row > 8 and #block1 + #block2 + #block3 > 60) or #cells > 15)
}

rule calendar_deceiving_link
{
    meta:
        id = "HY-0709"
        version = "1"
        title_en = "Invitation with a link to a bare or disguised address"
        title_ar = "دعوة تقويم فيها رابط إلى عنوان رقمي أو متخفٍّ"
        disposition = "hold"
        threat = "deceptive-link"
    strings:
        $calendar = "BEGIN:VCALENDAR" nocase
        $card = "BEGIN:VCARD" nocase
        $program = /ATTACH[^\r\n]{0,80}:https?:\/\/[^\r\n]{3,200}\.(exe|scr|msi|js|vbs|hta|lnk|iso|img|jar|bat|cmd|ps1|one|zip)\s/ nocase
        $share = /(ATTACH|URL|LOCATION|SOUND|VALARM)[^\r\n]{0,80}:(file:\/\/|\\\\\\?\\?)[^\r\n]{3,200}/ nocase
    condition:
        ($calendar or $card) and (deceiving_link or $program or $share)
}
