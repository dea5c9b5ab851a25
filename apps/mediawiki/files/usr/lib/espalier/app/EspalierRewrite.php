<?php
// Replaces addresses in the newest text of the pages that name them, by an edit each, as a bot: what a page was before stays in its
// history, and its checksums stay right. Safe to repeat.

use MediaWiki\CommentStore\CommentStoreComment;
use MediaWiki\Content\TextContent;
use MediaWiki\Maintenance\Maintenance;
use MediaWiki\Revision\SlotRecord;
use MediaWiki\User\User;

class EspalierRewrite extends Maintenance
{
    public function execute(): bool
    {
        $wanted = json_decode($this->getStdin(Maintenance::STDIN_ALL), true, 8, JSON_THROW_ON_ERROR);
        [$scheme, $host] = explode('://', $wanted['to'], 2);
        usort($wanted['from'], static fn($one, $other) => strlen($other) <=> strlen($one));
        $olds = implode('|', array_map(static fn($old) => preg_quote($old, '~'), $wanted['from']));
        // Not where the name goes on: acme.org is not acme.organic.
        $pattern = "~(https?:)?//(?:$olds)(?![\\w-]|\\.\\w|:\\d)~i";
        $services = $this->getServiceContainer();
        $user = User::newSystemUser('Maintenance script', ['steal' => true]);
        $pages = 0;
        foreach ($this->findPages($wanted['from']) as $id) {
            $page = $services->getWikiPageFactory()->newFromID((int) $id);
            $content = $page?->getContent();
            if (!$content instanceof TextContent) continue;
            $text = $content->getText();
            $new = preg_replace_callback($pattern, static fn($found) => (($found[1] ?? '') === '' ? '' : "$scheme:") . "//$host", $text);
            if ($new === null || $new === $text) continue;
            $updater = $page->newPageUpdater($user);
            $updater->setContent(SlotRecord::MAIN, $services->getContentHandlerFactory()->getContentHandler($content->getModel())->unserializeContent($new));
            $updater->saveRevision(CommentStoreComment::newUnsavedComment('The address of this wiki changed'), EDIT_UPDATE | EDIT_MINOR | EDIT_FORCE_BOT | EDIT_SUPPRESS_RC);
            if (!$updater->wasSuccessful()) $this->fatalError("{$page->getTitle()->getPrefixedText()} was not saved");
            $pages += 1;
        }
        $this->output("$pages pages\n");
        return true;
    }

    /** Ids of pages whose newest text may name one of the hosts: MediaWiki keeps no list of links to itself. */
    private function findPages(array $hosts): array
    {
        $db = $this->getDB(DB_PRIMARY);
        // Texts that are packed or kept elsewhere cannot be searched where they lie.
        $maybe = ['old_id IS NULL', 'old_flags' . $db->buildLike($db->anyString(), 'gzip', $db->anyString())];
        foreach ($hosts as $host) {
            $maybe[] = 'old_text' . $db->buildLike($db->anyString(), strtok($host, ':/'), $db->anyString());
        }
        return $db->newSelectQueryBuilder()->select('page_id')->distinct()->from('page')
            ->join('slots', null, 'slot_revision_id = page_latest')
            ->join('content', null, 'content_id = slot_content_id')
            ->leftJoin('text', null, "content_address = CONCAT('tt:', old_id)")
            ->where($db->makeList($maybe, LIST_OR))->caller(__METHOD__)->fetchFieldValues();
    }
}

return EspalierRewrite::class;
